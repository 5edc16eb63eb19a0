#include "common/clock.h"
#include "common/log.h"
#include "sql/pool_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

/* Short reads behind one that has been silent for so long go elsewhere. */
#define STALL_US (100 * US_PER_MS)
#define WATCH_US (STALL_US / 2)
enum { DISMISSALS_MAX = 8 };

/* ---- again ---- */

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
    if (verdict == CONN_REFUSED && conn_state(m->conn) != CONN_BROKEN && !m->clogged && !member_is_old(m, now_us))
        place_put(m, job, now_us);
    else
        wait_first(pool, job, now_us);
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
    wait_tell(job, &outcome);
}

/* Takes in what came back; those that are answered go to `answered`. */
static void collect(struct pool *pool, struct member *m, struct job_line *answered, int64_t now_us)
{
    for (struct conn_trip *trip; (trip = conn_next_back(m->conn)) != NULL;) {
        struct job *job = job_of(trip);
        place_leave(job, now_us);
        if (!job->begun)
            codel_served(&pool->delays[job->kind], now_us - job->sent_us);
        bool unwritable = failover_noticed(m, job, now_us);
        if (job->trip.reply.verdict == CONN_NO_ANSWER && !job->begun) /* that one's consumer may be who is slow */
            failover_silence(m, job->sent_us);
        if (may_run_again(job, unwritable, now_us))
            run_again(pool, m, job, now_us);
        else
            job_line_push(answered, job);
    }
}

static void log_loss(const struct pool *pool, const struct job_line *answered, bool idle)
{
    static struct log_limit limit;
    bool lost = idle;
    for (const struct job *job = answered->first; job != NULL; job = job->next)
        lost |= job->trip.reply.verdict == CONN_LOST;
    if (lost && log_limit_pass(&limit, US_PER_S, clock_mono_us()))
        log_warn("a database connection was lost: %s", pool->last_error);
}

static void finish_all(struct pool *pool, struct job_line *answered)
{
    for (struct job *job; (job = job_line_pop(answered)) != NULL;)
        finish(pool, job);
}

void answer_on_changed(void *arg)
{
    struct member *m = arg;
    struct pool *pool = m->pool;
    int64_t now_us = clock_mono_us();
    struct job_line answered = {0};
    bool was_open = m->announced, was_idle = m->running == 0;
    bool broke = conn_state(m->conn) == CONN_BROKEN;
    collect(pool, m, &answered, now_us);
    if (broke && conn_was_abandoned(m->conn)) {
        member_close(m);
        pool_add_timer(&pool->tick, 0); /* others may wait for its place */
    } else if (broke) {
        member_failed(m, now_us);
        if (was_open)
            log_loss(pool, &answered, was_idle);
    } else if (!was_open) {
        member_opened(m, now_us);
    } else if (member_is_idle(m) && (pool->draining || member_is_old(m, now_us) || member_are_too_many(pool))) {
        member_close(m); /* under load it may never be idle when the tick looks */
    }
    /* The next in line go first: they run while the rows of these become JSON. */
    wait_dispatch(pool, now_us);
    if (answered.first != NULL)
        place_send_all(pool, now_us);
    finish_all(pool, &answered);
}

/* ---- what goes on for too long ---- */

void answer_cancel(struct pool *pool, struct member *m)
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
        job_free(job);
        pool->metrics.cancelled++;
    }
    member_close(m);
    pool_add_timer(&pool->tick, 0); /* others may wait for its place */
}

void answer_watch(struct pool *pool)
{
    pool->watching = true;
    pool_add_timer(&pool->watch, WATCH_US);
}

/* The others run elsewhere, but no statement with a lease may run twice at a time: the server is told to end the one
 * that stands in the way, which then runs again by itself. */
static void unclog(struct pool *pool, struct member *m, struct job_line *answered, int64_t now_us)
{
    m->clogged = true;
    if (!conn_has_leased(m->conn)) {
        conn_take_back(m->conn);
        collect(pool, m, answered, now_us);
    } else if (now_us - m->cancelled_us >= STALL_US) {
        conn_cancel(m->conn);
        m->cancelled_us = now_us;
    }
}

/* A query that waits for a lock must not make its neighbours wait. */
void answer_on_watch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job_line answered = {0};
    int64_t now_us = clock_mono_us();
    pool->watching = false;
    for (int i = 0; i < pool->places; i++) {
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
                answer_cancel(pool, m);
            m->stuck_us = since_us;
            continue;
        }
        if (m->running > 1)
            unclog(pool, m, &answered, now_us);
    }
    if (pool->watching)
        answer_watch(pool);
    wait_dispatch(pool, now_us);
    finish_all(pool, &answered);
}
