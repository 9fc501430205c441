/* Runs the cases of a suite in builds without Criterion; see criterion/criterion.h beside this file. Every
 * case runs in a child of its own, or, with SS_TEST_IN_PROCESS=1, one after the other in this process:
 * starting CUDA takes longer than most cases. */
#include "criterion/criterion.h"

#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CASES    4096
#define EXIT_FAILED  101
#define EXIT_SKIPPED 102

static const ss_plain_case *cases[MAX_CASES];
static int                  n_cases;
static bool                 expectation_failed; /* of the running case */
static jmp_buf             *case_end;           /* where a case in this process ends early; NULL in a child */

void ss_plain_add(const ss_plain_case *added)
{
    if (n_cases == MAX_CASES) abort();
    cases[n_cases++] = added;
}

void ss_plain_fail(const char *file, int line, const char *condition, bool stop)
{
    fprintf(stderr, "\n%s:%d: %s\n", file, line, condition);
    expectation_failed = true;
    if (stop && case_end) longjmp(*case_end, EXIT_FAILED);
    if (stop) exit(EXIT_FAILED);
}

void ss_plain_skip(void)
{
    if (case_end) longjmp(*case_end, EXIT_SKIPPED);
    exit(EXIT_SKIPPED);
}

static int run_here(const ss_plain_case *c)
{
    jmp_buf end;
    expectation_failed = false;
    case_end = &end;
    int found = setjmp(end);
    if (found == 0) {
        if (c->init != NULL) c->init();
        c->run();
        if (c->fini != NULL) c->fini();
        found = expectation_failed ? EXIT_FAILED : EXIT_SUCCESS;
    }
    case_end = NULL;
    return found;
}

static void run_child(const ss_plain_case *c)
{
    if (c->init != NULL) c->init();
    c->run();
    if (c->fini != NULL) c->fini();
    exit(expectation_failed ? EXIT_FAILED : EXIT_SUCCESS);
}

/* Exit status of the case, -signal when it was killed. exit() runs the sanitizer's own check last: a race
 * turns success into its exit code 66. */
static int run_case(const ss_plain_case *c)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) run_child(c);
    if (waitpid(child, &status, 0) != child) return -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
    const char *text = getenv("SS_TEST_IN_PROCESS");
    const bool  in_process = text != NULL && *text != '\0';
    int         passing = 0, failing = 0, crashing = 0;
    for (int i = 0; i < n_cases; i++) {
        const ss_plain_case *c = cases[i];
        int                  wanted = c->signal != 0 ? -c->signal : c->exit_code;
        bool                 here = in_process && wanted == 0;
        int                  found = c->disabled ? EXIT_SKIPPED : here ? run_here(c) : run_case(c);
        if (found == EXIT_SKIPPED) {
            printf("[SKIP] %s::%s\n", c->suite, c->name);
            continue;
        }
        if (found == wanted)
            passing++;
        else
            failing++;
        if (found < 0 && found != wanted) crashing++;
        printf("[%s] %s::%s (status %d)\n", found == wanted ? "PASS" : "FAIL", c->suite, c->name, found);
    }
    printf("[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d\n", passing + failing,
           passing, failing, crashing);
    return failing > 0 || passing == 0 ? 1 : 0;
}
