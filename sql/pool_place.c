#include "common/clock.h"
#include "sql/pool_state.h"

#include <event2/event.h>
#include <stdlib.h>

/* A connection takes no more than it is expected to do in this time: beyond it another one helps. */
#define BACKLOG_US (2 * US_PER_MS)
/* One that needs a connection to itself and has waited so long gets one that short reads have kept. */
#define FAIR_US (10 * US_PER_MS)
/* While short reads come, one connection is theirs. */
#define SHORTS_US US_PER_S
/* Beyond the server's own statement_timeout: a server that hangs is given up after this. */
#define DEADLINE_GRACE_US (250 * US_PER_MS)

/* ---- what is short ---- */

struct timing *place_timing(struct pool *pool, const struct job *job)
{
    uint32_t id = job->work.statements[0].id;
    if (id >= pool->timing_count) {
        uint32_t count = MAX(id + 1, 2 * pool->timing_count);
        pool->timings = xrealloc(pool->timings, count * sizeof *pool->timings);
        memset(pool->timings + pool->timing_count, 0, (count - pool->timing_count) * sizeof *pool->timings);
        pool->timing_count = count;
    }
    return &pool->timings[id];
}

static bool may_share(const struct job *job)
{
    return job->work.statement_count == 1 && job->work.read_only && !job->work.describe &&
           job->work.statements[0].shares;
}

void place_classify(struct pool *pool, struct job *job)
{
    const struct timing *t = place_timing(pool, job);
    if (job->work.taker != NULL && t->bulk > 0)
        job->kind = JOB_BULK;
    else if (pool->conf->database.pool_depth > 1 && may_share(job) && timing_is_short(t) &&
             !(job->alone && job->work.lease != NULL)) /* it would be ended again */
        job->kind = JOB_SHORT;
    else
        job->kind = JOB_OWN;
}

/* ---- where ---- */

/* One that is clogged serves nobody, so it counts as taken by its own jobs. */
static bool is_shared(const struct member *m)
{
    return m->running > 0 && m->shared && !m->clogged;
}

static int count_shared(const struct pool *pool)
{
    int count = 0;
    for (int i = 0; i < pool->places; i++)
        count += is_shared(&pool->members[i]);
    return count;
}

int place_bulk_share(const struct pool *pool)
{
    return MAX(pool->max / 2, 1);
}

int place_count_bulk(const struct pool *pool)
{
    int count = 0;
    for (int i = 0; i < pool->places; i++)
        count += pool->members[i].running > 0 && pool->members[i].bulk;
    return count;
}

static int count_taken(const struct pool *pool)
{
    int count = 0;
    for (int i = 0; i < pool->places; i++)
        count += pool->members[i].running > 0 && !is_shared(&pool->members[i]);
    return count;
}

/* While others wait for one of their own, short reads keep half of the connections; and none when the only one is
 * waited for. */
static int shared_most(const struct pool *pool, int64_t now_us)
{
    const struct job *first = pool->lines[JOB_OWN].first, *is_short = pool->lines[JOB_SHORT].first;
    if (first == NULL || now_us - first->queued_us < FAIR_US)
        return pool->max;
    bool waited_longer = is_short != NULL && is_short->queued_us <= first->queued_us;
    return MAX(pool->max / 2, waited_longer ? 1 : 0);
}

/* The first one that has room, so that all pack onto few: a pipeline costs a third of a query at a time. switches: it
 * may be told first to plan otherwise than it does. */
static struct member *find_shared(struct pool *pool, const struct job *job, bool switches, int64_t now_us)
{
    int most = shared_most(pool, now_us), seen = 0;
    for (int i = 0; i < pool->places; i++) {
        struct member *m = &pool->members[i];
        if (!is_shared(m) || conn_state(m->conn) != CONN_BUSY || ++seen > most)
            continue;
        if (m->running < pool->conf->database.pool_depth && m->backlog_us < BACKLOG_US && !member_is_old(m, now_us) &&
            conn_knows(m->conn, &job->work) && (switches || conn_plans(m->conn, job->work.plan)))
            return m;
    }
    return NULL;
}

/* The last used first, so that those too many grow idle and go; one in the right mode before one that must switch. */
static struct member *find_idle(struct pool *pool, const struct pool_work *work)
{
    struct member *best = NULL;
    int best_fits = 0;
    for (int i = 0; i < pool->places; i++) {
        struct member *m = &pool->members[i];
        if (!member_is_idle(m))
            continue;
        int fits = (conn_read_only(m->conn) == work->read_only) + conn_plans(m->conn, work->plan);
        if (best != NULL && (fits < best_fits || (fits == best_fits && m->idle_since_us <= best->idle_since_us)))
            continue;
        best = m;
        best_fits = fits;
    }
    return best;
}

/* The last free place is kept for short reads while these come. */
static bool leaves_room(const struct pool *pool, int64_t now_us)
{
    return pool->max == 1 || pool->shorts_seen_us == 0 || now_us - pool->shorts_seen_us > SHORTS_US ||
           count_shared(pool) > 0 || count_taken(pool) < pool->max - 1;
}

struct member *place_find(struct pool *pool, struct job *job, int64_t now_us)
{
    if (job->kind == JOB_BULK && place_count_bulk(pool) >= place_bulk_share(pool))
        return NULL;
    if (job->kind == JOB_SHORT) {
        pool->shorts_seen_us = now_us;
        struct member *m = find_shared(pool, job, false, now_us);
        if (m != NULL)
            return m;
        if (count_shared(pool) >= shared_most(pool, now_us))
            return find_shared(pool, job, true, now_us);
    } else if (!leaves_room(pool, now_us)) {
        return NULL;
    }
    /* A write cannot be sent again when the server had hung up before it came: its outcome would be unknown. Nor can a
     * read that lost its connection so: where one is gone, the others may be too. */
    struct member *m;
    do
        m = find_idle(pool, &job->work);
    while (m != NULL && (!job->work.read_only || job->retried) && !conn_check(m->conn));
    return m == NULL && job->kind == JOB_SHORT ? find_shared(pool, job, true, now_us) : m;
}

/* ---- there ---- */

/* It runs no longer than what is left until its deadline; one that has begun by then may. */
static void cut_timeout(struct pool_work *work, int64_t now_us)
{
    int64_t left_us = MAX(work->deadline_us - now_us, US_PER_MS);
    if (work->deadline_us > 0 && work->taker == NULL)
        work->timeout_us = work->timeout_us > 0 ? MIN(work->timeout_us, left_us) : left_us;
}

static int64_t answer_by_us(const struct pool_work *work, int64_t now_us)
{
    int64_t by_us = work->timeout_us > 0 ? now_us + work->timeout_us : INT64_MAX;
    if (work->deadline_us > 0)
        by_us = MIN(by_us, MAX(work->deadline_us, now_us + US_PER_MS));
    return by_us == INT64_MAX ? 0 : by_us + DEADLINE_GRACE_US;
}

void place_put(struct member *m, struct job *job, int64_t now_us)
{
    struct pool *pool = m->pool;
    cut_timeout(&job->work, now_us);
    job->wait_us = MAX(job->wait_us, now_us - job->queued_us);
    job->sent_us = now_us;
    job->member = m;
    pool->metrics.max_wait_us = MAX(pool->metrics.max_wait_us, job->wait_us);
    pool->metrics.queries += (uint64_t)job->work.statement_count;
    pool->metrics.pipelined += m->running > 0;
    m->bulk = job->kind == JOB_BULK;
    m->shared = job->kind == JOB_SHORT && (m->running == 0 || m->shared);
    m->running++;
    job->expected_us = job->kind == JOB_SHORT ? place_timing(pool, job)->mean_us : 0;
    m->backlog_us += job->expected_us;
    job->trip = (struct conn_trip){.work = &job->work,
                                   .joins = job->kind == JOB_SHORT && !job->alone &&
                                            !timing_wants_probe(place_timing(pool, job)),
                                   .deadline_us = answer_by_us(&job->work, now_us),
                                   .patience_us = pool->conf->database.stream_timeout_us};
    conn_run(m->conn, &job->trip);
    event_active(&pool->round, EV_TIMEOUT, 1);
    if (m->running > 1 && !pool->watching)
        answer_watch(pool);
}

/* The way there and back counts once for all that were under way together. It takes half as long again now and then;
 * where a way is long nobody is harmed by a read that takes as long as that. */
static int64_t without_way(const struct pool *pool, int64_t us)
{
    return MAX(us - pool->way_us - pool->way_us / 2, INT64_C(1));
}

static void note(struct pool *pool, const struct job *job)
{
    const struct conn_reply *reply = &job->trip.reply;
    struct timing *t = place_timing(pool, job);
    if (reply->verdict != CONN_OK) {
        timing_suspect(t);
    } else if (reply->shared) {
        timing_add_share(t, reply->run_us);
    } else if (reply->behind_others) {
        timing_add_alone(t, reply->run_us);
    } else if (!reply->prepared) {
        pool->way_us = MIN(pool->way_us, reply->run_us);
        timing_add_alone(t, without_way(pool, reply->run_us));
    }
}

void place_begin_bulk(struct job *job)
{
    struct member *m = job->member;
    timing_note_bulk(place_timing(m->pool, job), true);
    job->begun = true;
    job->work.deadline_us = 0;
    job->trip.deadline_us = answer_by_us(&job->work, job->sent_us);
    m->bulk = m->clogged = true;
    conn_take_back(m->conn);
}

void place_leave(struct job *job, int64_t now_us)
{
    struct member *m = job->member;
    job->member = NULL;
    m->running--;
    m->gone -= job->done == NULL && job->work.read_only;
    m->backlog_us -= job->expected_us;
    if (may_share(job))
        note(m->pool, job);
    if (!job->begun && job->trip.reply.verdict == CONN_OK)
        timing_note_bulk(place_timing(m->pool, job), false);
    if (m->running > 0)
        return;
    m->clogged = m->bulk = false;
    m->idle_since_us = now_us;
}

void place_send_all(struct pool *pool, int64_t now_us)
{
    for (int i = 0; i < pool->places; i++)
        if (pool->members[i].running > 0)
            conn_send(pool->members[i].conn, now_us);
}
