#include "sql/pool.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/budget.h"
#include "sql/pool_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_US (500 * US_PER_MS)

void pool_add_timer(struct event *event, int64_t delay_us)
{
    delay_us = MAX(delay_us, INT64_C(0));
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(event, &tv);
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    place_send_all(arg, clock_mono_us());
}

/* ---- time ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    int64_t now_us = clock_mono_us();
    member_retire_idle(pool, now_us);
    wait_dispatch(pool, now_us);
    pool_add_timer(&pool->tick,
                   pool->health == POOL_UP ? TICK_US : MAX(pool->connect_after_us - now_us, 50 * US_PER_MS));
}

/* ---- how many connections there may be ---- */

/* A question that got no answer is asked again, by the next connection; one that was refused is not. */
static int budget_after(enum pool_fail fail)
{
    if (fail == POOL_DOWN)
        return BUDGET_UNKNOWN;
    return fail == POOL_TIMEOUT || fail == POOL_REJECTED ? BUDGET_UNSURE : BUDGET_KNOWN;
}

static void on_budget(void *arg, const struct pool_outcome *outcome)
{
    struct pool *pool = arg;
    struct err warning;
    pool->budget = budget_after(outcome->fail);
    pool_add_timer(&pool->tick, 0);
    if (outcome->fail != POOL_OK) {
        log_debug("how many connections the database allows is not known: %s", outcome->message);
        return;
    }
    pool->max = budget_pool_max(pool->conf, atoi(PQgetvalue(outcome->results[0], 0, 0)), &warning);
    if (warning.text[0] != '\0' && !pool->hushed)
        log_warn("%s", warning.text);
}

/* Ahead of all others, which have but one connection until then. */
void pool_ask_budget(struct pool *pool, int64_t now_us)
{
    static const struct pool_statement statement = {.text = BUDGET_QUERY, .id = POOL_BUDGET_STATEMENT};
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.work = {.statements = &statement,
                                 .statement_count = 1,
                                 .read_only = true,
                                 .timeout_us = pool->conf->database.statement_timeout_us},
                        .done = on_budget,
                        .arg = pool};
    pool->budget = BUDGET_ASKED;
    wait_first(pool, job, now_us);
}

/* ---- the interface ---- */

static struct pool *create(struct event_base *base, const struct conf *conf, const char *url, int host, int max,
                           int min)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    pool->base = base;
    pool->conf = conf;
    pool->places = pool->max = max;
    pool->min = min;
    for (int kind = 0; kind < JOB_KINDS; kind++) {
        pool->lines[kind].crowds = &pool->crowds;
        pool->delays[kind].limit_us = conf->database.acquire_timeout_us;
    }
    pool->members = xcalloc((size_t)pool->places, sizeof *pool->members);
    pool->settings = (struct conn_settings){.url = url,
                                            .host = host,
                                            .connect_timeout_us = conf->database.connect_timeout_us,
                                            .statement_timeout_us = conf->database.statement_timeout_us,
                                            .prepare = conf->database.prepare};
    failover_init(pool);
    event_assign(&pool->tick, base, -1, 0, on_tick, pool);
    event_assign(&pool->deliver, base, -1, 0, wait_on_deliver, pool);
    event_assign(&pool->round, base, -1, 0, on_round, pool);
    event_assign(&pool->watch, base, -1, 0, answer_on_watch, pool);
    event_assign(&pool->acquire, base, -1, 0, wait_on_acquire, pool);
    pool_add_timer(&pool->tick, 0);
    return pool;
}

struct pool *pool_create(struct event_base *base, const struct conf *conf, pool_observe *observe, void *observe_arg)
{
    struct pool *pool = create(base, conf, conf->database.url, -1, conf->database.pool_max, conf->database.pool_min);
    pool->observe = observe;
    pool->observe_arg = observe_arg;
    if (!conf->database.prepare) /* a pooler has a budget of its own */
        pool->budget = BUDGET_KNOWN;
    return pool;
}

struct pool *pool_create_replica(struct event_base *base, const struct conf *conf, int host, pool_observe *observe,
                                 void *observe_arg)
{
    struct pool *pool =
        create(base, conf, conf->database.replica_url, host, conf->database.replica_max, conf->database.replica_min);
    pool->observe = observe;
    pool->observe_arg = observe_arg;
    pool->budget = BUDGET_KNOWN; /* the primary's alone is looked at */
    pool->is_replica = true;
    return pool;
}

void pool_hush(struct pool *pool)
{
    pool->hushed = true;
}

static void take_off(struct member *m, struct job_line *jobs)
{
    if (m->conn == NULL)
        return;
    for (struct conn_trip *trip; (trip = conn_give_up(m->conn)) != NULL;) {
        job_of(trip)->member = NULL;
        job_line_push(jobs, job_of(trip));
    }
    conn_destroy(&m->conn);
}

void pool_destroy(struct pool **doomed)
{
    struct pool *pool = *doomed;
    struct job_line jobs = {0};
    *doomed = NULL;
    if (pool == NULL)
        return;
    snprintf(pool->last_error, sizeof pool->last_error, "the worker ends");
    for (int i = 0; i < pool->places; i++)
        take_off(&pool->members[i], &jobs);
    wait_fail_line(pool, &jobs);
    wait_fail_all(pool);
    wait_on_deliver(-1, 0, pool);
    event_del(&pool->tick);
    event_del(&pool->deliver);
    event_del(&pool->round);
    event_del(&pool->watch);
    event_del(&pool->acquire);
    crowds_deinit(&pool->crowds);
    free(pool->timings);
    free(pool->members);
    free(pool);
}

struct pool_job *pool_run(struct pool *pool, const struct pool_work *work, pool_done *done, void *arg)
{
    int64_t now_us = clock_mono_us();
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.work = *work, .done = done, .arg = arg, .queued_us = now_us};
    lease_hold(work->lease);
    place_classify(pool, job);
    struct job_line *line = &pool->lines[job->kind];
    struct member *m = line->first == NULL ? place_find(pool, job, now_us) : NULL;
    if (m != NULL) {
        (void)codel_sheds(&pool->delays[job->kind], 0, now_us);
        place_put(m, job, now_us);
    } else if (pool->health == POOL_UNREACHABLE && !member_any_working(pool)) {
        wait_fail_later(pool, job, POOL_DOWN);
    } else if (wait_count(pool) >= pool->conf->database.pool_queue && !wait_make_room(pool, job)) {
        wait_fail_later(pool, job, POOL_REJECTED);
    } else {
        wait_last(pool, job, now_us);
        wait_dispatch(pool, now_us);
    }
    return (struct pool_job *)job;
}

bool pool_waits(const struct pool *pool, const struct pool_job *ticket)
{
    const struct job *job = (const struct job *)ticket;
    return job->line == &pool->lines[job->kind];
}

void pool_amend(struct pool *pool, struct pool_job *ticket, const struct pool_work *work)
{
    struct job *job = (struct job *)ticket;
    CHECK(pool_waits(pool, ticket));
    lease_hold(work->lease);
    lease_release(job->work.lease);
    job->work = *work;
}

/* What is on a shared connection is most likely over before a cancel would come; the watch looks at what is not. */
static void forget_running(struct pool *pool, struct job *job)
{
    struct member *m = job->member;
    m->gone += job->work.read_only;
    if (m->gone == m->running && (!m->shared || job->begun)) {
        answer_cancel(pool, m);
        return;
    }
    job->work.values = NULL;
    job->work.taker = NULL;
    if (m->gone > 0 && !pool->watching)
        answer_watch(pool);
}

void pool_forget(struct pool *pool, struct pool_job *ticket)
{
    struct job *job = (struct job *)ticket;
    job->done = NULL;
    if (pool_waits(pool, ticket)) {
        job_line_remove(job->line, job);
        job_free(job);
    } else if (job->member != NULL) {
        conn_send(job->member->conn, clock_mono_us()); /* while its values are there */
        forget_running(pool, job);
    } else {
        job->work.values = NULL;
    }
}

bool pool_begin(struct pool_job *ticket)
{
    struct job *job = (struct job *)ticket;
    if (!conn_runs_alone(job->member->conn, &job->trip))
        return false;
    place_begin_bulk(job);
    return true;
}

void pool_resume(struct pool_job *ticket)
{
    const struct job *job = (const struct job *)ticket;
    if (job->member != NULL)
        conn_resume(job->member->conn);
}

enum pool_health pool_health(const struct pool *pool)
{
    return pool->health;
}

const char *pool_last_error(const struct pool *pool)
{
    return pool->last_error;
}

void pool_metrics(const struct pool *pool, struct pool_metrics *out)
{
    *out = pool->metrics;
    out->max = pool->max;
    out->waiting = wait_count(pool);
    for (int i = 0; i < pool->places; i++) {
        const struct member *m = &pool->members[i];
        if (m->conn == NULL)
            continue;
        out->active += m->running > 0;
        out->connecting += !m->announced;
        out->idle += m->announced && m->running == 0;
    }
}

int pool_load(const struct pool *pool)
{
    int load = wait_count(pool);
    for (int i = 0; i < pool->places; i++)
        load += pool->members[i].running;
    return load;
}

void pool_drain(struct pool *pool)
{
    pool->draining = true;
    member_retire_idle(pool, clock_mono_us());
}
