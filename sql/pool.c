#include "sql/pool.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/conn.h"
#include "sql/pool_job.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

/* Beyond the server's own statement_timeout: a server that hangs is given up after this. */
#define DEADLINE_GRACE_US (250 * US_PER_MS)
#define TICK_US (500 * US_PER_MS)
enum { DISMISSALS_MAX = 8, FAILURES_MAX = 2 };
#define BACKOFF_MIN_US (100 * US_PER_MS)
#define BACKOFF_MAX_US US_PER_S

struct member {
    struct pool *pool;
    struct conn *conn; /* NULL: free place */
    struct job *job;   /* NULL: idle, or being made */
    int64_t opened_us, idle_since_us, retire_us;
    bool announced; /* it was idle once: the connect succeeded */
};

struct pool {
    struct event_base *base;
    const struct conf *conf;
    struct conn_settings settings;
    void (*observe)(void *arg, int64_t wait_us, int64_t run_us);
    void *observe_arg;
    struct member *members; /* pool_max places */
    int max;
    struct job_line waiting; /* first come, first served */
    struct job_line ended;   /* failed inside pool_run(): told from the loop */
    struct event tick;       /* limits of age and idleness, spare connections, reconnects */
    struct event deliver;
    struct event acquire;  /* a waiter's time is up */
    int64_t acquire_at_us; /* when that looks; 0: not set */
    enum pool_health health;
    bool draining;
    int failures; /* connects in a row that failed */
    int64_t backoff_us, connect_after_us;
    char last_error[512];
    struct pool_metrics metrics;
};

static void add_timer(struct event *event, int64_t delay_us)
{
    delay_us = MAX(delay_us, INT64_C(0));
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(event, &tv);
}

/* +-10 %, so that workers started together neither connect nor expire together. */
static int64_t jitter(int64_t us)
{
    return us - us / 10 + (int64_t)((double)us / 5 * ((double)random() / RAND_MAX));
}

/* ---- telling ---- */

static void tell(struct job *job, const struct pool_outcome *outcome)
{
    pool_done *done = job->done;
    void *arg = job->arg;
    free(job);
    if (done != NULL)
        done(arg, outcome);
}

static void fail(struct pool *pool, struct job *job, enum pool_fail why, const char *message)
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
        fail(pool, job, job->fail,
             job->fail == POOL_DOWN ? pool->last_error : "too many requests wait for a connection");
}

static void fail_all_waiting(struct pool *pool)
{
    struct job *job;
    while ((job = job_line_pop(&pool->waiting)) != NULL)
        fail(pool, job, POOL_DOWN, pool->last_error);
}

/* ---- members ---- */

static void on_changed(void *arg);

static int count_open(const struct pool *pool)
{
    int open = 0;
    for (int i = 0; i < pool->max; i++)
        open += pool->members[i].conn != NULL;
    return open;
}

static bool any_working(const struct pool *pool)
{
    for (int i = 0; i < pool->max; i++)
        if (pool->members[i].conn != NULL && pool->members[i].announced)
            return true;
    return false;
}

static int count_connecting(const struct pool *pool)
{
    int connecting = 0;
    for (int i = 0; i < pool->max; i++)
        connecting += pool->members[i].conn != NULL && !pool->members[i].announced;
    return connecting;
}

static void open_member(struct pool *pool, int64_t now_us)
{
    for (int i = 0; i < pool->max; i++) {
        struct member *m = &pool->members[i];
        if (m->conn != NULL)
            continue;
        *m = (struct member){.pool = pool, .opened_us = now_us};
        if (pool->conf->database.max_lifetime_us > 0)
            m->retire_us = now_us + jitter(pool->conf->database.max_lifetime_us);
        m->conn = conn_create(pool->base, &pool->settings, on_changed, m);
        return;
    }
}

static void close_member(struct pool *pool, struct member *m)
{
    conn_destroy(&m->conn);
    if (m->announced)
        pool->metrics.closed++;
}

static bool is_old(const struct member *m, int64_t now_us)
{
    return m->retire_us > 0 && now_us >= m->retire_us;
}

/* As many connects as there are requests waiting, and what is missing to min; one at a time while the server refuses.
 */
static void open_wanted(struct pool *pool, int64_t now_us)
{
    int open = count_open(pool), connecting = count_connecting(pool);
    int spare = pool->draining ? 0 : MAX(pool->conf->database.pool_min - open, 0);
    int wanted = MAX(pool->waiting.count - connecting, spare);
    if (now_us < pool->connect_after_us)
        return;
    if (pool->backoff_us > 0 || pool->health != POOL_UP)
        wanted = connecting > 0 ? 0 : MIN(MAX(wanted, pool->health == POOL_UP ? 0 : 1), 1);
    for (; wanted > 0 && open < pool->max; wanted--, open++)
        open_member(pool, now_us);
}

/* The last used first, so that those too many grow idle and go; one in the right mode before one that must switch. */
static struct member *pick_idle(struct pool *pool, bool read_only)
{
    struct member *best = NULL;
    for (int i = 0; i < pool->max; i++) {
        struct member *m = &pool->members[i];
        if (m->conn == NULL || m->job != NULL || conn_state(m->conn) != CONN_IDLE)
            continue;
        bool fits = conn_read_only(m->conn) == read_only;
        bool best_fits = best != NULL && conn_read_only(best->conn) == read_only;
        if (best == NULL || fits > best_fits || (fits == best_fits && m->idle_since_us > best->idle_since_us))
            best = m;
    }
    return best;
}

/* It runs no longer than what is left until its deadline. */
static void cut_timeout(struct pool_work *work, int64_t now_us)
{
    int64_t left_us = MAX(work->deadline_us - now_us, US_PER_MS);
    if (work->deadline_us > 0)
        work->timeout_us = work->timeout_us > 0 ? MIN(work->timeout_us, left_us) : left_us;
}

static void start(struct pool *pool, struct member *m, struct job *job, int64_t now_us)
{
    cut_timeout(&job->work, now_us);
    int64_t timeout_us = job->work.timeout_us;
    job->wait_us = MAX(job->wait_us, now_us - job->queued_us);
    job->sent_us = now_us;
    pool->metrics.max_wait_us = MAX(pool->metrics.max_wait_us, job->wait_us);
    pool->metrics.queries += (uint64_t)job->work.statement_count;
    m->job = job;
    conn_run(m->conn, &job->work, timeout_us > 0 ? now_us + timeout_us + DEADLINE_GRACE_US : 0, now_us);
}

/* When a job that waits for a connection has no use for one any more. */
static int64_t give_up_us(const struct pool *pool, const struct job *job)
{
    int64_t at_us = job->queued_us + pool->conf->database.acquire_timeout_us;
    return job->work.deadline_us > 0 ? MIN(at_us, job->work.deadline_us) : at_us;
}

/* The line is in order of arrival, not of these times. */
static void watch_waiter(struct pool *pool, const struct job *job, int64_t now_us)
{
    int64_t at_us = give_up_us(pool, job);
    if (pool->acquire_at_us > 0 && pool->acquire_at_us <= at_us)
        return;
    pool->acquire_at_us = at_us;
    add_timer(&pool->acquire, at_us - now_us);
}

static void dispatch(struct pool *pool, int64_t now_us)
{
    while (pool->waiting.first != NULL) {
        struct member *m = pick_idle(pool, pool->waiting.first->work.read_only);
        if (m == NULL)
            break;
        /* A write cannot be sent again when the server had hung up before it came: its outcome would be unknown. */
        if (!pool->waiting.first->work.read_only && !conn_check(m->conn))
            continue;
        start(pool, m, job_line_pop(&pool->waiting), now_us);
    }
    open_wanted(pool, now_us);
}

/* ---- answers ---- */

/* True: it was sent again. */
static bool run_again(struct pool *pool, struct member *m, struct job *job, const struct conn_reply *reply)
{
    const char *state = reply->error ? PQresultErrorField(reply->error, PG_DIAG_SQLSTATE) : NULL;
    bool serialization = state != NULL && (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0);
    if (job->done == NULL || job->work.describe)
        return false;
    if (reply->verdict == CONN_REFUSED && reply->stale && !job->prepared_again)
        job->prepared_again = true;
    else if (reply->verdict == CONN_REFUSED && serialization && !job->retried)
        job->retried = true;
    else
        return false;
    start(pool, m, job, clock_mono_us());
    return true;
}

static void outcome_of_reply(struct pool *pool, const struct conn_reply *reply, const struct job *job,
                             struct pool_outcome *out)
{
    *out = (struct pool_outcome){.wait_us = job->wait_us, .run_us = clock_mono_us() - job->sent_us, .message = ""};
    switch (reply->verdict) {
    case CONN_OK:
        out->fail = POOL_OK;
        out->results = (const PGresult *const *)reply->results;
        return;
    case CONN_REFUSED:
        out->fail = POOL_SQL;
        job_read_error(reply->error, out);
        break;
    case CONN_UNSUITABLE:
        out->fail = POOL_SQL;
        snprintf(out->sqlstate, sizeof out->sqlstate, "0A000");
        out->message = reply->message;
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

static void finish_job(struct pool *pool, struct job *job, struct conn_reply *reply)
{
    struct pool_outcome outcome;
    outcome_of_reply(pool, reply, job, &outcome);
    if (pool->observe != NULL)
        pool->observe(pool->observe_arg, outcome.wait_us, outcome.run_us);
    tell(job, &outcome);
    conn_reply_deinit(reply);
}

static void member_broke(struct pool *pool, struct member *m, int64_t now_us)
{
    struct job *job = m->job;
    bool was_open = m->announced;
    struct conn_reply reply = conn_take_reply(m->conn);
    snprintf(pool->last_error, sizeof pool->last_error, "%s", conn_error(m->conn));
    m->job = NULL;
    close_member(pool, m);
    if (!was_open) {
        pool->backoff_us = MIN(MAX(pool->backoff_us * 2, BACKOFF_MIN_US), BACKOFF_MAX_US);
        pool->connect_after_us = now_us + jitter(pool->backoff_us);
        add_timer(&pool->tick, pool->connect_after_us - now_us);
        /* One failure may be a session that an admin ended while it began. */
        if (++pool->failures >= FAILURES_MAX && !any_working(pool)) {
            if (pool->health != POOL_UNREACHABLE)
                log_warn("the database is unreachable: %s", pool->last_error);
            pool->health = POOL_UNREACHABLE;
            fail_all_waiting(pool);
        }
    } else if (job == NULL || reply.verdict == CONN_LOST) {
        log_warn("a database connection was lost: %s", pool->last_error);
    }
    if (job == NULL)
        return;
    /* A read runs again on another connection: once, as it may be what crashes the server, or a few times when an admin
     * ends session after session. */
    bool again = reply.dismissed ? job->dismissed++ < DISMISSALS_MAX : !job->retried;
    if (reply.verdict == CONN_LOST && job->work.read_only && again && job->done != NULL) {
        job->retried |= !reply.dismissed;
        job->queued_us = now_us;
        conn_reply_deinit(&reply);
        job_line_push_front(&pool->waiting, job);
        watch_waiter(pool, job, now_us);
        return;
    }
    finish_job(pool, job, &reply);
}

static void member_opened(struct pool *pool, struct member *m)
{
    m->announced = true;
    pool->metrics.opened++;
    pool->backoff_us = 0;
    pool->connect_after_us = 0;
    pool->failures = 0;
    if (pool->health == POOL_UNREACHABLE)
        log_info("the database answers again");
    pool->health = POOL_UP;
}

static void on_changed(void *arg)
{
    struct member *m = arg;
    struct pool *pool = m->pool;
    int64_t now_us = clock_mono_us();
    if (conn_state(m->conn) == CONN_BROKEN) {
        member_broke(pool, m, now_us);
    } else if (m->job == NULL) {
        member_opened(pool, m);
        m->idle_since_us = now_us;
    } else {
        struct job *job = m->job;
        struct conn_reply reply = conn_take_reply(m->conn);
        m->job = NULL;
        m->idle_since_us = now_us;
        if (run_again(pool, m, job, &reply)) {
            conn_reply_deinit(&reply);
            return;
        }
        if (is_old(m, now_us))
            close_member(pool, m); /* under load it may never be idle when the tick looks */
        /* The next in line goes first: its query runs while this one's rows become JSON. */
        if (pool->waiting.first != NULL)
            dispatch(pool, now_us);
        finish_job(pool, job, &reply);
        if (m->conn != NULL && m->job == NULL && pool->draining && conn_state(m->conn) == CONN_IDLE)
            close_member(pool, m);
    }
    dispatch(pool, now_us);
}

/* ---- time ---- */

static void on_acquire(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job_line late = {0};
    int64_t now_us = clock_mono_us();
    pool->acquire_at_us = 0;
    for (struct job *job = pool->waiting.first, *next; job != NULL; job = next) {
        next = job->next;
        if (give_up_us(pool, job) > now_us) {
            watch_waiter(pool, job, now_us);
            continue;
        }
        job_line_remove(&pool->waiting, job);
        job_line_push(&late, job);
    }
    for (struct job *job; (job = job_line_pop(&late)) != NULL;)
        fail(pool, job, POOL_TIMEOUT, "waited too long for a database connection");
}

static void retire_idle(struct pool *pool, int64_t now_us)
{
    int64_t idle_us = pool->conf->database.idle_timeout_us;
    int open = count_open(pool);
    for (int i = 0; i < pool->max; i++) {
        struct member *m = &pool->members[i];
        if (m->conn == NULL || m->job != NULL || conn_state(m->conn) != CONN_IDLE)
            continue;
        bool idle = idle_us > 0 && now_us - m->idle_since_us >= idle_us && open > pool->conf->database.pool_min;
        if (is_old(m, now_us) || idle || pool->draining) {
            close_member(pool, m);
            open--;
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    int64_t now_us = clock_mono_us();
    retire_idle(pool, now_us);
    dispatch(pool, now_us);
    add_timer(&pool->tick, pool->health == POOL_UP ? TICK_US : MAX(pool->connect_after_us - now_us, 50 * US_PER_MS));
}

/* ---- the interface ---- */

struct pool *pool_create(struct event_base *base, const struct conf *conf,
                         void (*observe)(void *arg, int64_t wait_us, int64_t run_us), void *observe_arg)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    pool->base = base;
    pool->conf = conf;
    pool->observe = observe;
    pool->observe_arg = observe_arg;
    pool->max = conf->database.pool_max;
    pool->members = xcalloc((size_t)pool->max, sizeof *pool->members);
    pool->settings = (struct conn_settings){conf->database.url, conf->database.connect_timeout_us,
                                            conf->database.statement_timeout_us};
    event_assign(&pool->tick, base, -1, 0, on_tick, pool);
    event_assign(&pool->deliver, base, -1, 0, on_deliver, pool);
    event_assign(&pool->acquire, base, -1, 0, on_acquire, pool);
    add_timer(&pool->tick, 0);
    return pool;
}

void pool_destroy(struct pool **doomed)
{
    struct pool *pool = *doomed;
    *doomed = NULL;
    if (pool == NULL)
        return;
    snprintf(pool->last_error, sizeof pool->last_error, "the worker ends");
    for (int i = 0; i < pool->max; i++) {
        struct member *m = &pool->members[i];
        struct job *job = m->job;
        m->job = NULL;
        if (m->conn != NULL)
            conn_destroy(&m->conn);
        if (job != NULL)
            fail(pool, job, POOL_DOWN, pool->last_error);
    }
    fail_all_waiting(pool);
    on_deliver(-1, 0, pool);
    event_del(&pool->tick);
    event_del(&pool->deliver);
    event_del(&pool->acquire);
    free(pool->members);
    free(pool);
}

struct pool_job *pool_run(struct pool *pool, const struct pool_work *work, pool_done *done, void *arg)
{
    int64_t now_us = clock_mono_us();
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.work = *work, .done = done, .arg = arg, .queued_us = now_us};
    struct member *m = pool->waiting.first == NULL ? pick_idle(pool, work->read_only) : NULL;
    if (m != NULL && (work->read_only || conn_check(m->conn))) {
        start(pool, m, job, now_us);
    } else if (pool->health == POOL_UNREACHABLE && !any_working(pool)) {
        fail_later(pool, job, POOL_DOWN);
    } else if (pool->waiting.count >= pool->conf->database.pool_queue) {
        fail_later(pool, job, POOL_REJECTED);
    } else {
        job_line_push(&pool->waiting, job);
        watch_waiter(pool, job, now_us);
        dispatch(pool, now_us);
    }
    return (struct pool_job *)job;
}

static struct member *member_of(const struct pool *pool, const struct job *job)
{
    for (int i = 0; i < pool->max; i++)
        if (pool->members[i].job == job)
            return &pool->members[i];
    return NULL;
}

void pool_forget(struct pool *pool, struct pool_job *ticket)
{
    struct job *job = (struct job *)ticket;
    job->done = NULL;
    if (job->line == &pool->waiting) {
        job_line_remove(&pool->waiting, job);
        free(job);
        return;
    }
    struct member *m = job->work.read_only ? member_of(pool, job) : NULL;
    if (m == NULL)
        return;
    conn_cancel(m->conn);
    m->job = NULL;
    free(job);
    close_member(pool, m);
    pool->metrics.cancelled++;
    add_timer(&pool->tick, 0); /* others may wait for its place */
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
    out->waiting = pool->waiting.count;
    for (int i = 0; i < pool->max; i++) {
        const struct member *m = &pool->members[i];
        if (m->conn == NULL)
            continue;
        out->active += m->job != NULL;
        out->connecting += !m->announced;
        out->idle += m->announced && m->job == NULL;
    }
}

void pool_drain(struct pool *pool)
{
    pool->draining = true;
    retire_idle(pool, clock_mono_us());
}
