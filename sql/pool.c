#include "sql/pool.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/budget.h"
#include "sql/pool_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_US (500 * US_PER_MS)
/* Short reads behind one that has been silent for so long go elsewhere. */
#define STALL_US (100 * US_PER_MS)
#define WATCH_US (STALL_US / 2)
enum { DISMISSALS_MAX = 8 };

void pool_add_timer(struct event *event, int64_t delay_us)
{
    delay_us = MAX(delay_us, INT64_C(0));
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(event, &tv);
}

void pool_watch(struct pool *pool)
{
    pool->watching = true;
    pool_add_timer(&pool->watch, WATCH_US);
}

/* ---- telling ---- */

/* What the outcome points to lives on during the callback. */
static void tell(struct job *job, const struct pool_outcome *outcome)
{
    if (job->done != NULL)
        job->done(job->arg, outcome);
    conn_trip_deinit(&job->trip);
    free(job);
}

void pool_fail(struct pool *pool, struct job *job, enum pool_fail why, const char *message)
{
    struct pool_outcome outcome = {.fail = why, .message = message, .wait_us = clock_mono_us() - job->queued_us};
    if (why == POOL_TIMEOUT)
        pool->metrics.timeouts++;
    else
        pool->metrics.rejected++;
    tell(job, &outcome);
}

/* From inside pool_run(): the loop tells it. */
static void fail_later(struct pool *pool, struct job *job, enum pool_fail why)
{
    job->fail = why;
    job_line_push(&pool->ended, job);
    event_active(&pool->deliver, EV_TIMEOUT, 1);
}

static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job *job;
    while ((job = job_line_pop(&pool->ended)) != NULL)
        pool_fail(pool, job, job->fail,
                  job->fail == POOL_DOWN ? pool->last_error : "too many requests wait for a connection");
}

static void fail_line(struct pool *pool, struct job_line *line)
{
    struct job *job;
    while ((job = job_line_pop(line)) != NULL)
        pool_fail(pool, job, POOL_DOWN, pool->last_error);
}

void pool_fail_all_waiting(struct pool *pool)
{
    for (int kind = 0; kind < JOB_KINDS; kind++)
        fail_line(pool, &pool->lines[kind]);
}

/* ---- waiting ---- */

/* When a job that waits for a connection has no use for one any more. */
static int64_t give_up_us(const struct pool *pool, const struct job *job)
{
    int64_t at_us = job->queued_us + pool->conf->database.acquire_timeout_us;
    return job->work.deadline_us > 0 ? MIN(at_us, job->work.deadline_us) : at_us;
}

/* The lines are in order of arrival, not of these times. */
static void watch_waiter(struct pool *pool, const struct job *job, int64_t now_us)
{
    int64_t at_us = give_up_us(pool, job);
    if (pool->acquire_at_us > 0 && pool->acquire_at_us <= at_us)
        return;
    pool->acquire_at_us = at_us;
    pool_add_timer(&pool->acquire, at_us - now_us);
}

static int count_waiting(const struct pool *pool)
{
    int count = 0;
    for (int kind = 0; kind < JOB_KINDS; kind++)
        count += pool->lines[kind].count;
    return count;
}

static void dispatch_line(struct pool *pool, enum job_kind kind, int64_t now_us)
{
    struct job_line *line = &pool->lines[kind];
    while (line->first != NULL) {
        struct member *m = place_find(pool, line->first, now_us);
        if (m == NULL)
            return;
        struct job *job = job_line_pop(line);
        if (codel_sheds(&pool->delays[kind], now_us - job->queued_us, now_us))
            fail_later(pool, job, POOL_REJECTED);
        else
            place_put(m, job, now_us);
    }
}

static int64_t first_queued_us(const struct pool *pool, enum job_kind kind)
{
    const struct job *first = pool->lines[kind].first;
    return first != NULL ? first->queued_us : INT64_MAX;
}

/* The lines, the one whose first has waited longest in front. */
static void order_lines(const struct pool *pool, enum job_kind order_out[JOB_KINDS])
{
    for (int kind = 0; kind < JOB_KINDS; kind++) {
        int place = kind;
        for (; place > 0 && first_queued_us(pool, order_out[place - 1]) > first_queued_us(pool, kind); place--)
            order_out[place] = order_out[place - 1];
        order_out[place] = kind;
    }
}

static void dispatch(struct pool *pool, int64_t now_us)
{
    enum job_kind order[JOB_KINDS];
    order_lines(pool, order);
    for (int i = 0; i < JOB_KINDS; i++)
        dispatch_line(pool, order[i], now_us);
    member_open_wanted(pool, now_us);
}

static void send_all(struct pool *pool, int64_t now_us)
{
    for (int i = 0; i < pool->max; i++)
        if (pool->members[i].running > 0)
            conn_send(pool->members[i].conn, now_us);
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    send_all(arg, clock_mono_us());
}

static void enqueue_first(struct pool *pool, struct job *job, int64_t now_us)
{
    job->queued_us = now_us;
    place_classify(pool, job);
    job_line_push_front(&pool->lines[job->kind], job);
    watch_waiter(pool, job, now_us);
}

/* ---- answers ---- */

static bool is_serialization(const char *state)
{
    return strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0;
}

/* 57014 before its time was over: by an admin, or meant for what ran there before. */
static bool is_foreign_cancel(const struct job *job, const char *state, int64_t now_us)
{
    return strcmp(state, "57014") == 0 && (job->work.timeout_us == 0 || now_us - job->sent_us < job->work.timeout_us);
}

static bool is_passing(const struct job *job, int64_t now_us)
{
    const PGresult *error = job->trip.reply.error;
    const char *state = error ? PQresultErrorField(error, PG_DIAG_SQLSTATE) : NULL;
    return state != NULL && (is_serialization(state) || (job->work.read_only && is_foreign_cancel(job, state, now_us)));
}

/* Whether and how it runs again; unwritable: the session was. A read whose connection broke does so once, as it may
 * be what crashes the server, or a few times when an admin ends session after session. */
static bool may_run_again(struct job *job, bool unwritable, int64_t now_us)
{
    const struct conn_reply *reply = &job->trip.reply;
    bool *once = &job->retried;
    if (job->done == NULL || job->begun)
        return false;
    switch (reply->verdict) {
    case CONN_SPOILT:
    case CONN_TAKEN_BACK:
        return true;
    case CONN_REFUSED:
        if (job->work.describe || (!reply->stale && !unwritable && !is_passing(job, now_us)))
            return false;
        if (reply->stale)
            once = &job->prepared_again;
        else if (unwritable)
            once = &job->moved;
        break;
    case CONN_LOST:
        if (!job->work.read_only)
            return false;
        if (reply->dismissed)
            return job->dismissed++ < DISMISSALS_MAX;
        break;
    case CONN_OK:
    case CONN_UNSUITABLE:
    case CONN_STOPPED:
    case CONN_NO_ANSWER:
        return false;
    }
    bool again = !*once;
    *once = true;
    return again;
}

/* On the same connection where that one knows of a stale plan and stays, else on whichever is free first. */
static void run_again(struct pool *pool, struct member *m, struct job *job, int64_t now_us)
{
    enum conn_verdict verdict = job->trip.reply.verdict;
    conn_trip_deinit(&job->trip);
    if (job->work.taker != NULL)
        job->work.taker->rows(job->work.taker->arg, NULL);
    job->alone = true;
    pool->metrics.repeated += verdict == CONN_SPOILT || verdict == CONN_TAKEN_BACK;
    if (verdict == CONN_REFUSED && conn_state(m->conn) != CONN_BROKEN && !member_is_old(m, now_us))
        place_put(m, job, now_us);
    else
        enqueue_first(pool, job, now_us);
}

static int64_t count_rows(const struct conn_reply *reply)
{
    int64_t rows = reply->taken_rows;
    for (int i = 0; i < reply->result_count; i++)
        rows += atoll(PQcmdTuples(reply->results[i])); /* "" of none */
    return rows;
}

static void outcome_of(struct pool *pool, const struct job *job, struct pool_outcome *out)
{
    const struct conn_reply *reply = &job->trip.reply;
    *out = (struct pool_outcome){.wait_us = job->wait_us, .run_us = clock_mono_us() - job->sent_us, .message = ""};
    switch (reply->verdict) {
    case CONN_OK:
        out->fail = POOL_OK;
        out->rows = count_rows(reply);
        out->results = (const PGresult *const *)reply->results;
        return;
    case CONN_REFUSED:
        out->fail = POOL_SQL;
        job_read_error(reply->error, out);
        out->cancelled = is_foreign_cancel(job, out->sqlstate, clock_mono_us());
        break;
    case CONN_UNSUITABLE:
        out->fail = POOL_SQL;
        snprintf(out->sqlstate, sizeof out->sqlstate, "0A000");
        out->message = reply->message;
        break;
    case CONN_STOPPED:
        out->fail = POOL_STOPPED;
        return;
    case CONN_SPOILT:
    case CONN_TAKEN_BACK: /* forgotten */
        out->fail = POOL_DOWN;
        break;
    case CONN_LOST:
        out->fail = POOL_DOWN;
        out->message = reply->message;
        break;
    case CONN_NO_ANSWER:
        out->fail = POOL_TIMEOUT;
        out->message = reply->message;
        break;
    }
    out->failed_statement = reply->failed_statement;
    pool->metrics.errors++;
}

static void finish(struct pool *pool, struct job *job)
{
    struct pool_outcome outcome;
    outcome_of(pool, job, &outcome);
    if (pool->observe != NULL)
        pool->observe(pool->observe_arg, &job->work, &outcome, false);
    tell(job, &outcome);
}

static struct job *job_of(struct conn_trip *trip)
{
    return (struct job *)(void *)((char *)trip - offsetof(struct job, trip));
}

/* Takes in what came back; those that are answered go to `answered`. */
static void collect(struct pool *pool, struct member *m, struct job_line *answered, int64_t now_us)
{
    for (struct conn_trip *trip; (trip = conn_next_back(m->conn)) != NULL;) {
        struct job *job = job_of(trip);
        place_leave(job, now_us);
        codel_served(&pool->delays[job->kind], now_us - job->sent_us);
        bool unwritable = failover_noticed(m, job, now_us);
        if (job->trip.reply.verdict == CONN_NO_ANSWER)
            failover_silence(m, job->sent_us);
        if (may_run_again(job, unwritable, now_us))
            run_again(pool, m, job, now_us);
        else
            job_line_push(answered, job);
    }
}

static void log_loss(const struct pool *pool, const struct job_line *answered, bool idle)
{
    bool lost = idle;
    for (const struct job *job = answered->first; job != NULL; job = job->next)
        lost |= job->trip.reply.verdict == CONN_LOST;
    if (lost)
        log_warn("a database connection was lost: %s", pool->last_error);
}

static void finish_all(struct pool *pool, struct job_line *answered)
{
    for (struct job *job; (job = job_line_pop(answered)) != NULL;)
        finish(pool, job);
}

void pool_on_changed(void *arg)
{
    struct member *m = arg;
    struct pool *pool = m->pool;
    int64_t now_us = clock_mono_us();
    struct job_line answered = {0};
    bool was_open = m->announced, was_idle = m->running == 0;
    bool broke = conn_state(m->conn) == CONN_BROKEN;
    collect(pool, m, &answered, now_us);
    if (broke) {
        member_failed(m, now_us);
        if (was_open)
            log_loss(pool, &answered, was_idle);
    } else if (!was_open) {
        member_opened(m, now_us);
    } else if (member_is_idle(m) && (pool->draining || member_is_old(m, now_us))) {
        member_close(m); /* under load it may never be idle when the tick looks */
    }
    /* The next in line go first: they run while the rows of these become JSON. */
    dispatch(pool, now_us);
    if (answered.first != NULL)
        send_all(pool, now_us);
    finish_all(pool, &answered);
}

/* ---- time ---- */

static void take_late(struct pool *pool, struct job_line *line, struct job_line *late, int64_t now_us)
{
    for (struct job *job = line->first, *next; job != NULL; job = next) {
        next = job->next;
        if (give_up_us(pool, job) > now_us) {
            watch_waiter(pool, job, now_us);
            continue;
        }
        job_line_remove(line, job);
        job_line_push(late, job);
    }
}

static void on_acquire(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job_line late = {0};
    int64_t now_us = clock_mono_us();
    pool->acquire_at_us = 0;
    for (int kind = 0; kind < JOB_KINDS; kind++)
        take_late(pool, &pool->lines[kind], &late, now_us);
    for (struct job *job; (job = job_line_pop(&late)) != NULL;)
        pool_fail(pool, job, POOL_TIMEOUT, "waited too long for a database connection");
}

/* Nobody waits for what the member runs: the server is told to end it. The connection goes too, as that may come late.
 */
static void cancel(struct pool *pool, struct member *m)
{
    int64_t now_us = clock_mono_us();
    conn_cancel(m->conn);
    for (struct conn_trip *trip; (trip = conn_give_up(m->conn)) != NULL;) {
        struct job *job = job_of(trip);
        const struct pool_outcome outcome = {
            .fail = POOL_DOWN, .message = "", .wait_us = job->wait_us, .run_us = now_us - job->sent_us};
        job->trip.reply.verdict = CONN_TAKEN_BACK;
        place_leave(job, now_us);
        if (pool->observe != NULL)
            pool->observe(pool->observe_arg, &job->work, &outcome, true);
        conn_trip_deinit(&job->trip);
        free(job);
        pool->metrics.cancelled++;
    }
    member_close(m);
    pool_add_timer(&pool->tick, 0); /* others may wait for its place */
}

/* A query that waits for a lock must not make its neighbours wait: they run elsewhere, once all who are held up have
 * been taken back. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job_line answered = {0};
    int64_t now_us = clock_mono_us();
    pool->watching = false;
    for (int i = 0; i < pool->max; i++) {
        struct member *m = &pool->members[i];
        if (m->running < 2 && m->gone == 0)
            continue;
        pool->watching = true;
        int64_t since_us = conn_silent_since_us(m->conn);
        if (since_us == 0 || now_us - since_us < STALL_US)
            continue;
        if (m->gone == m->running) {
            /* Seen twice: the first time, what it says may only not have been read yet. */
            if (m->stuck_us == since_us)
                cancel(pool, m);
            m->stuck_us = since_us;
            continue;
        }
        if (m->running < 2)
            continue;
        m->clogged = true;
        conn_take_back(m->conn);
        collect(pool, m, &answered, now_us);
    }
    if (pool->watching)
        pool_watch(pool);
    dispatch(pool, now_us);
    finish_all(pool, &answered);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    int64_t now_us = clock_mono_us();
    member_retire_idle(pool, now_us);
    dispatch(pool, now_us);
    pool_add_timer(&pool->tick,
                   pool->health == POOL_UP ? TICK_US : MAX(pool->connect_after_us - now_us, 50 * US_PER_MS));
}

/* ---- how many connections there may be ---- */

static void on_budget(void *arg, const struct pool_outcome *outcome)
{
    struct pool *pool = arg;
    struct err warning;
    pool->budget = outcome->fail == POOL_DOWN ? BUDGET_UNKNOWN : BUDGET_KNOWN;
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
    enqueue_first(pool, job, now_us);
}

/* ---- the interface ---- */

static struct pool *create(struct event_base *base, const struct conf *conf, const char *url, int host, int max,
                           int min)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    pool->base = base;
    pool->conf = conf;
    pool->max = max;
    pool->min = min;
    for (int kind = 0; kind < JOB_KINDS; kind++) {
        pool->lines[kind].crowds = &pool->crowds;
        pool->delays[kind].limit_us = conf->database.acquire_timeout_us;
    }
    pool->members = xcalloc((size_t)pool->max, sizeof *pool->members);
    pool->settings = (struct conn_settings){.url = url,
                                            .host = host,
                                            .connect_timeout_us = conf->database.connect_timeout_us,
                                            .statement_timeout_us = conf->database.statement_timeout_us,
                                            .prepare = conf->database.prepare};
    failover_init(pool);
    event_assign(&pool->tick, base, -1, 0, on_tick, pool);
    event_assign(&pool->deliver, base, -1, 0, on_deliver, pool);
    event_assign(&pool->round, base, -1, 0, on_round, pool);
    event_assign(&pool->watch, base, -1, 0, on_watch, pool);
    event_assign(&pool->acquire, base, -1, 0, on_acquire, pool);
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
    for (int i = 0; i < pool->max; i++)
        take_off(&pool->members[i], &jobs);
    fail_line(pool, &jobs);
    pool_fail_all_waiting(pool);
    on_deliver(-1, 0, pool);
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

/* True: another one has given way. */
static bool make_room(struct pool *pool, const struct job *job)
{
    struct job *other = crowds_yield(&pool->crowds, job);
    if (other == NULL)
        return false;
    job_line_remove(other->line, other);
    fail_later(pool, other, POOL_REJECTED);
    return true;
}

struct pool_job *pool_run(struct pool *pool, const struct pool_work *work, pool_done *done, void *arg)
{
    int64_t now_us = clock_mono_us();
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.work = *work, .done = done, .arg = arg, .queued_us = now_us};
    place_classify(pool, job);
    struct job_line *line = &pool->lines[job->kind];
    struct member *m = line->first == NULL ? place_find(pool, job, now_us) : NULL;
    if (m != NULL) {
        (void)codel_sheds(&pool->delays[job->kind], 0, now_us);
        place_put(m, job, now_us);
    } else if (pool->health == POOL_UNREACHABLE && !member_any_working(pool)) {
        fail_later(pool, job, POOL_DOWN);
    } else if (count_waiting(pool) >= pool->conf->database.pool_queue && !make_room(pool, job)) {
        fail_later(pool, job, POOL_REJECTED);
    } else {
        job_line_push(line, job);
        watch_waiter(pool, job, now_us);
        dispatch(pool, now_us);
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
    CHECK(pool_waits(pool, ticket));
    ((struct job *)ticket)->work = *work;
}

/* What is on a shared connection is most likely over before a cancel would come; the watch looks at what is not. */
static void forget_running(struct pool *pool, struct job *job)
{
    struct member *m = job->member;
    m->gone += job->work.read_only;
    if (m->gone == m->running && (!m->shared || job->begun)) {
        cancel(pool, m);
        return;
    }
    job->work.values = NULL;
    job->work.taker = NULL;
    if (m->gone > 0 && !pool->watching)
        pool_watch(pool);
}

void pool_forget(struct pool *pool, struct pool_job *ticket)
{
    struct job *job = (struct job *)ticket;
    job->done = NULL;
    if (pool_waits(pool, ticket)) {
        job_line_remove(job->line, job);
        free(job);
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
    out->waiting = count_waiting(pool);
    for (int i = 0; i < pool->max; i++) {
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
    int load = count_waiting(pool);
    for (int i = 0; i < pool->max; i++)
        load += pool->members[i].running;
    return load;
}

void pool_drain(struct pool *pool)
{
    pool->draining = true;
    member_retire_idle(pool, clock_mono_us());
}
