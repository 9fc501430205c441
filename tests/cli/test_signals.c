/* Being stopped: a signal leaves result and checkpoint within one product; a run that is killed at any moment
 * resumes to the same digits as one that was left alone. Five kills in the quick tier, fifty with
 * SS_TEST_ALL=1; the seed of the moments is printed. In brief two kills, of a run over fewer samples with
 * fewer products: what it goes through is the same. */
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Lanczos that does not meet its resolution: as many products as it may have. */
#define DIGITS SS_SOURCE_DIRECTORY "/examples/digits"
#define RUN                                                                                                  \
    "analyze", DIGITS "/network.json", "--data", DIGITS "/data.safetensors", "--loss", "cross_entropy",      \
        "--weight-decay", "0.003", "--scale", "1/16", "--threads", "1", "--resolution", "1e-9",              \
        "--max-products", ss_test_brief() ? "40" : "110", "--samples", ss_test_brief() ? "120" : "1797",     \
        "--quiet", "--json", "r.json"

static ss_test_program run;

static void wait_seconds(double seconds)
{
    struct timespec span = { .tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (nanosleep(&span, &span) != 0 && errno == EINTR) continue;
}

/* Products in the result so far; -1 when there is none yet. */
static long long products_so_far(void)
{
    json_t   *json = json_load_file("r.json", 0, NULL);
    json_t   *cost = json_object_get(json_object_get(json, "result"), "cost");
    long long count = cost != NULL ? (long long)json_integer_value(json_object_get(cost, "hessian")) : -1;
    json_decref(json);
    return count;
}

/* Waits until the run has made some products; the file is whole whenever it is there. */
static long long wait_for_products(pid_t process, long long at_least)
{
    for (int i = 0; i < 6000; i++) {
        long long count = products_so_far();
        if (count >= at_least) return count;
        cr_assert(waitpid(process, NULL, WNOHANG) == 0, "the run ended too early");
        wait_seconds(0.01);
    }
    cr_assert_fail("no products after a minute");
    return -1;
}

static bool is_time(const char *key)
{
    return strstr(key, "seconds") != NULL;
}

/* The result of a run that nobody disturbs. */
static json_t *undisturbed(void)
{
    ss_test_run(&run, RUN, NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
    json_t *json = ss_test_json("r.json");
    cr_assert(unlink("r.json") == 0);
    return json;
}

static void same_result(const json_t *wanted, const char *what)
{
    json_t *json = ss_test_json("r.json");
    cr_expect(json_is_true(json_object_get(json, "complete")), "%s: not complete", what);
    cr_expect(ss_test_differences(json_object_get(wanted, "result"), json_object_get(json, "result"),
                                  "result", is_time, 0) == 0,
              "%s: the resumed result differs", what);
    json_decref(json);
}

static void stop_with(int signal_number, bool checkpoint, int status)
{
    const char *const plain[] = { RUN, NULL };
    const char *const kept[] = { RUN, "--checkpoint", "state", NULL };
    unlink("r.json"); /* the last run's */
    pid_t process = ss_test_start(checkpoint ? kept : plain);
    wait_for_products(process, 8);
    long long before = products_so_far();
    cr_assert(kill(process, signal_number) == 0);
    ss_test_finish(process, &run);
    long long after = products_so_far();
    cr_expect(run.exit_status == status, "signal %d: status %d: %s", signal_number, run.exit_status, run.err);
    cr_expect(after >= before && after <= before + 2, "%lld products at the signal, %lld at the end", before,
              after);
    json_t *json = ss_test_json("r.json");
    cr_expect(json_is_false(json_object_get(json, "complete")));
    cr_expect(strstr(run.out, "verdict") != NULL && strstr(run.out, "partial") != NULL, "signal %d: %s",
              signal_number, run.out);
    cr_expect(ss_test_exists("state") == checkpoint);
    json_decref(json);
}

Test(signals, leave_a_result, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_assert(chdir(ss_test_directory()) == 0);
    stop_with(SIGINT, false, 130);
    stop_with(SIGTERM, false, 143);
    json_t *wanted = undisturbed();
    stop_with(SIGTERM, true, 75);
    ss_test_run(&run, RUN, "--checkpoint", "state", "--resume", NULL);
    cr_expect(run.exit_status == 0, "%s", run.err);
    same_result(wanted, "after SIGTERM");
    cr_assert(unlink("state") == 0 && unlink("r.json") == 0);
    stop_with(SIGUSR1, true, 75);
    /* Another configuration is another run: refused, not mixed. */
    ss_test_run(&run, RUN, "--checkpoint", "state", "--resume", "--seed", "9", NULL);
    cr_expect(run.exit_status == 6, "status %d: %s", run.exit_status, run.err);
    json_decref(wanted);
    cr_assert(chdir("/") == 0);
}

/* Kills a run at a random moment, again and again, until one comes through. */
Test(signals, any_kill_resumes_to_the_same_digits, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *const resume[] = {
        RUN, "--checkpoint", "state", "--checkpoint-every", "1", "--resume", NULL
    };
    int      kills = 0, wanted_kills = ss_test_environment("SS_TEST_ALL") ? 50 : ss_test_brief() ? 2 : 5;
    int      rounds = 0;
    unsigned seed = 20240607;
    struct timespec begin, end;

    cr_assert(chdir(ss_test_directory()) == 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    json_t *wanted = undisturbed();
    clock_gettime(CLOCK_MONOTONIC, &end);
    double span = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    printf("seed %u; an undisturbed run takes %.2f s\n", seed, span);
    while (kills < wanted_kills && rounds < 100) {
        bool through = false;
        while (!through) {
            pid_t process = ss_test_start(resume);
            wait_seconds(span * 0.7 * rand_r(&seed) / (double)RAND_MAX);
            kill(process, SIGKILL);
            ss_test_finish(process, &run);
            through = run.exit_status == 0;
            if (run.exit_status == 128 + SIGKILL)
                kills++;
            else
                cr_assert(through, "status %d: %s", run.exit_status, run.err);
            if (kills >= wanted_kills && !through) {
                ss_test_run_list(&run, resume);
                cr_assert(run.exit_status == 0, "%s", run.err);
                through = true;
            }
        }
        same_result(wanted, "after kills");
        unlink("state");
        unlink("state.basis");
        rounds++;
    }
    printf("%d kills, %d runs that came through\n", kills, rounds);
    cr_expect(kills >= wanted_kills);
    json_decref(wanted);
    cr_assert(chdir("/") == 0);
}
