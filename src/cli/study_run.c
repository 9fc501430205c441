/* The points of a study, several at a time. A job is a thread with a context of its own; what they share, the
 * data set and the table of points, is read-only or behind the lock. */
#include "cli/study.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

typedef struct pool {
    ss_study_plan  *plan;
    pthread_mutex_t lock;
    pthread_cond_t  news;     /* a point is finished, a job has ended */
    int64_t         next;     /* first number that nobody has taken */
    int64_t        *finished; /* [total] numbers not yet reported */
    int64_t         n_finished;
    int64_t         running;       /* jobs alive */
    volatile int    stop;          /* the jobs' interrupt flag */
    ss_status       status;        /* first failure of a job ... */
    char            message[1024]; /* ... and its message */
} pool;

/* The next point to be computed, -1 when there is none. */
static int64_t take(pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->next < p->plan->total && p->plan->done[p->next]) p->next++;
    int64_t number = p->stop || p->next >= p->plan->total ? -1 : p->next++;
    pthread_mutex_unlock(&p->lock);
    return number;
}

/* --save-weights */
static ss_status save(ss_context *context, const ss_study_plan *plan, ss_network *network,
                      const ss_objective *objective, const ss_study_point *point)
{
    ss_status        status = SS_OK;
    const char      *folder = ss_text_of(plan->workload->settings, SAVE_WEIGHTS);
    double          *packed = NULL;
    char            *path = NULL;
    ss_saved_weights saved;
    if (folder == NULL) return SS_OK;
    SS_TRY(ss_format(context, &path, "%s/point-%lld-%lld.safetensors", folder, (long long)point->width,
                     (long long)point->seed));
    SS_TRY(SS_NEW_ARRAY(context, point->n, &packed));
    ss_objective_get_weights(objective, packed);
    SS_TRY(ss_network_save(network, path, packed, &saved));
fail:
    ss_free(context, path);
    ss_free(context, packed);
    return status;
}

static ss_status compute(ss_context *context, const ss_study_plan *plan, int64_t number,
                         ss_study_point *point)
{
    ss_status            status = SS_OK;
    const ss_workload   *w = plan->workload;
    ss_network          *network = NULL;
    ss_objective        *objective = NULL;
    ss_study_options     options;
    ss_objective_options how = w->options;
    ss_network_options   o = ss_workload_network_options(w);
    *point = (ss_study_point){ .number = number,
                               .width = plan->widths[number / plan->n_seeds],
                               .seed = plan->seeds[number % plan->n_seeds] };
    memcpy(point->setup, plan->setup, sizeof point->setup);
    o.seed = (uint64_t)point->seed;
    how.precision = SS_FLOAT64;
    if (how.memory == 0)
        how.memory = (int64_t)512 << 20; /* plans, and with them digits, must not depend on
                                            what happens to be free */
    ss_study_options_for(point->seed, &options);
    SS_TRY(ss_network_open(context, plan->sources[number / plan->n_seeds], &o, &network));
    SS_TRY(ss_objective_create(context, network, w->dataset, &how, &objective));
    SS_TRY(ss_study(context, objective, &options, &plan->analyze, point));
    SS_TRY(save(context, plan, network, objective, point));
fail:
    ss_objective_destroy(objective);
    ss_network_close(network);
    return status;
}

static void tell(pool *p, ss_context *context, int64_t number, const ss_study_point *point, ss_status status)
{
    pthread_mutex_lock(&p->lock);
    if (status == SS_OK) {
        p->plan->points[number] = *point;
        p->finished[p->n_finished++] = number;
    } else if (p->status == SS_OK) {
        p->status = status;
        if (context != NULL)
            snprintf(p->message, sizeof p->message, "point %lld (width %lld, seed %lld): %s",
                     (long long)number, (long long)point->width, (long long)point->seed,
                     ss_context_message(context));
        p->stop = 1;
    }
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
}

static void *job(void *user)
{
    pool          *p = user;
    ss_context    *context = NULL;
    ss_study_point point = { .number = -1 };
    ss_status      status = ss_context_create(&context);
    int64_t        number = 0;
    if (status == SS_OK) {
        ss_context_set_interrupt(context, &p->stop);
        status = ss_context_set_threads(context, 1);
    }
    while (status == SS_OK && (number = take(p)) >= 0) {
        status = compute(context, p->plan, number, &point);
        tell(p, context, number, &point, status);
    }
    if (status != SS_OK && number == 0 && point.number < 0) tell(p, context, 0, &point, status);
    if (context != NULL) ss_context_destroy(context);
    pthread_mutex_lock(&p->lock);
    p->running--;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Waits for news, at most a tenth of a second: a signal must be seen. */
static void wait_for_news(pool *p)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&p->news, &p->lock, &until);
}

/* Reports what is finished until all jobs have ended. A failure to report stops them too. */
static ss_status listen(pool *p, ss_study_report report, void *user)
{
    ss_status   status = SS_OK;
    ss_context *context = p->plan->workload->context;
    pthread_mutex_lock(&p->lock);
    while (p->running > 0 || p->n_finished > 0) {
        if (p->n_finished == 0) wait_for_news(p);
        if (ss_context_interrupted(context)) p->stop = 1;
        while (p->n_finished > 0) {
            int64_t number = p->finished[--p->n_finished];
            p->plan->done[number] = true;
            pthread_mutex_unlock(&p->lock);
            ss_status told = status == SS_OK ? report(user, p->plan, number) : SS_OK;
            pthread_mutex_lock(&p->lock);
            if (told != SS_OK) status = told, p->stop = 1;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

ss_status ss_study_run(ss_study_plan *plan, int64_t jobs, ss_study_report report, void *user)
{
    ss_status   status = SS_OK;
    ss_context *context = plan->workload->context;
    pool        p = { .plan = plan };
    pthread_t  *threads = NULL;
    int64_t     started = 0;
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.news, NULL);
    SS_TRY(SS_NEW_ARRAY(context, plan->total, &p.finished));
    SS_TRY(SS_NEW_ARRAY(context, jobs, &threads));
    for (; started < jobs; started++) {
        pthread_mutex_lock(&p.lock);
        p.running++;
        pthread_mutex_unlock(&p.lock);
        int error = pthread_create(&threads[started], NULL, job, &p);
        if (error == 0) continue;
        pthread_mutex_lock(&p.lock);
        p.running--;
        p.stop = started == 0;
        pthread_mutex_unlock(&p.lock);
        if (started == 0) SS_FAIL(context, SS_ERROR_RUNTIME, "no thread for a job: %s", strerror(error));
        break;
    }
    status = listen(&p, report, user);
    if (status == SS_OK && p.status != SS_OK && p.status != SS_ERROR_INTERRUPTED)
        status = ss_fail(context, p.status, "%s", p.message);
    if (status == SS_OK && p.stop)
        status = ss_fail(context, SS_ERROR_INTERRUPTED, "stopped by a signal; the finished points are kept");
fail:
    for (int64_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    ss_free(context, threads);
    ss_free(context, p.finished);
    pthread_cond_destroy(&p.news);
    pthread_mutex_destroy(&p.lock);
    return status;
}
