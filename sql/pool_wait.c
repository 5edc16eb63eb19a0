#include "common/clock.h"
#include "sql/pool_state.h"

#include <event2/event.h>
#include <stdlib.h>

/* ---- telling ---- */

void wait_tell(struct job *job, const struct pool_outcome *outcome)
{
    if (job->done != NULL)
        job->done(job->arg, outcome);
    job_free(job);
}

/* Only what refuses a request: the process asks for itself, too, of a replica that is down each second. */
static void count_failure(struct pool *pool, const struct job *job, enum pool_fail why)
{
    if (job->work.owner == NULL || job->work.describe || (pool->is_replica && why == POOL_DOWN))
        return;
    if (why == POOL_TIMEOUT)
        pool->metrics.timeouts++;
    else
        pool->metrics.rejected++;
}

void wait_fail(struct pool *pool, struct job *job, enum pool_fail why, const char *message)
{
    struct pool_outcome outcome = {.fail = why, .message = message, .wait_us = clock_mono_us() - job->queued_us};
    count_failure(pool, job, why);
    wait_tell(job, &outcome);
}

void wait_fail_later(struct pool *pool, struct job *job, enum pool_fail why)
{
    job->fail = why;
    job_line_push(&pool->ended, job);
    event_active(&pool->deliver, EV_TIMEOUT, 1);
}

void wait_on_deliver(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job *job;
    while ((job = job_line_pop(&pool->ended)) != NULL)
        wait_fail(pool, job, job->fail,
                  job->fail == POOL_DOWN ? pool->last_error : "too many requests wait for a connection");
}

void wait_fail_line(struct pool *pool, struct job_line *line)
{
    struct job *job;
    while ((job = job_line_pop(line)) != NULL)
        wait_fail(pool, job, POOL_DOWN, pool->last_error);
}

void wait_fail_all(struct pool *pool)
{
    for (int kind = 0; kind < JOB_KINDS; kind++)
        wait_fail_line(pool, &pool->lines[kind]);
}

/* ---- waiting ---- */

/* When a job that waits for a connection has no use for one any more. */
static int64_t give_up_us(const struct pool *pool, const struct job *job)
{
    int64_t at_us = job->queued_us + pool->conf->database.acquire_timeout_us;
    return job->work.deadline_us > 0 ? MIN(at_us, job->work.deadline_us) : at_us;
}

/* The lines are in order of arrival, not of these times. */
static void watch(struct pool *pool, const struct job *job, int64_t now_us)
{
    int64_t at_us = give_up_us(pool, job);
    if (pool->acquire_at_us > 0 && pool->acquire_at_us <= at_us)
        return;
    pool->acquire_at_us = at_us;
    pool_add_timer(&pool->acquire, at_us - now_us);
}

int wait_count(const struct pool *pool)
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
            wait_fail_later(pool, job, POOL_REJECTED);
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

void wait_dispatch(struct pool *pool, int64_t now_us)
{
    enum job_kind order[JOB_KINDS];
    order_lines(pool, order);
    for (int i = 0; i < JOB_KINDS; i++)
        dispatch_line(pool, order[i], now_us);
    member_open_wanted(pool, now_us);
}

void wait_last(struct pool *pool, struct job *job, int64_t now_us)
{
    job_line_push(&pool->lines[job->kind], job);
    watch(pool, job, now_us);
}

void wait_first(struct pool *pool, struct job *job, int64_t now_us)
{
    job->queued_us = now_us;
    place_classify(pool, job);
    job_line_push_front(&pool->lines[job->kind], job);
    watch(pool, job, now_us);
}

static void take_late(struct pool *pool, struct job_line *line, struct job_line *late, int64_t now_us)
{
    for (struct job *job = line->first, *next; job != NULL; job = next) {
        next = job->next;
        if (give_up_us(pool, job) > now_us) {
            watch(pool, job, now_us);
            continue;
        }
        job_line_remove(line, job);
        job_line_push(late, job);
    }
}

void wait_on_acquire(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pool *pool = arg;
    struct job_line late = {0};
    int64_t now_us = clock_mono_us();
    pool->acquire_at_us = 0;
    for (int kind = 0; kind < JOB_KINDS; kind++)
        take_late(pool, &pool->lines[kind], &late, now_us);
    for (struct job *job; (job = job_line_pop(&late)) != NULL;)
        wait_fail(pool, job, POOL_TIMEOUT, "waited too long for a database connection");
}

bool wait_make_room(struct pool *pool, const struct job *job)
{
    struct job *other = crowds_yield(&pool->crowds, job);
    if (other == NULL)
        return false;
    job_line_remove(other->line, other);
    wait_fail_later(pool, other, POOL_REJECTED);
    return true;
}
