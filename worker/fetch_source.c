#include "common/clock.h"
#include "shm/fault.h"
#include "shm/tags.h"
#include "sql/replicas.h"
#include "worker/fetch_state.h"
#include "worker/format.h"
#include "worker/reply.h"
#include "worker/rows.h"

/* A longer body's memory is given back. */
enum { BODY_KEPT_BYTES = 1 << 20 };
/* How long an answer is kept that lacks a part because of an error. */
#define SHRUNK_US US_PER_S

static struct redis_key redis_key_of(const struct fetch *f)
{
    return (struct redis_key){f->lookup.key.bytes, f->lookup.tag_slots, f->lookup.tag_count};
}

static bool uses_redis(const struct fetch *f)
{
    return f->r->service->redis != NULL && f->r->route->conf->redis && !f->r->personal && !f->untagged;
}

static bool is_kept(const struct fetch *f)
{
    return f->r->route->conf->cached && !f->untagged;
}

/* So that what was stored together does not end together. */
static int64_t jittered(int64_t us)
{
    return us - us / 20 + (int64_t)((double)us / 10 * fetch_uniform());
}

/* ---- the database ---- */

static void read_from(struct fetch *f, struct pool *pool);

/* A page is no longer than its limit, and begins with what stands behind its last row. */
static bool streams(const struct fetch *f)
{
    return f->r->route->conf->result == RESULT_ROWS && f->r->page == NULL;
}

static bool is_from_replica(const struct fetch *f)
{
    return f->pool != f->r->service->pool;
}

static struct slice head_of(const struct fetch *f, struct slice body)
{
    if (f->r->head.len > 0)
        return f->r->head;
    if (f->r->route->conf->result == RESULT_ROWS)
        return format_head(f->r->format, true);
    return body.len > 0 ? format_head(ENCODE_JSON, false) : SLICE("");
}

static void fill_entry(struct fetch *f, struct slice body, int64_t now_us, struct cache_entry *entry)
{
    const struct conf_route *conf = f->r->route->conf;
    *entry = (struct cache_entry){
        .body = body,
        .head = head_of(f, body),
        .own_head = f->r->head.len > 0,
        .created_us = now_us,
        .fresh_until_us =
            now_us + jittered(f->r->origin.shrunk ? MIN(conf->cache_ttl_us, SHRUNK_US) : conf->cache_ttl_us),
        .born_seq = f->born_seq,
        .cost_us = now_us - f->began_us,
        .tag_count = f->lookup.tag_count,
        .status = conf->status};
    memcpy(entry->tag_slots, f->lookup.tag_slots, sizeof entry->tag_slots);
    reply_etag(body, f->r->head, entry->etag);
}

/* A missing row and a failing database are so for all who wait; a refused value is told in its own words. */
static void on_failed(struct fetch *f)
{
    struct request *r = f->r;
    const struct conf_route *conf = r->route->conf;
    int status = r->problem.status;
    /* Its own time is over, of which others may have more. */
    bool ran_out = fetch_ran_out(f), shared = !ran_out && (status == 404 || status >= 500);
    /* 503 is this worker's own: no connection, no room in the queue. */
    if (is_kept(f) && conf->cache_negative_us > 0 && shared && status != 503)
        lookup_store_problem(&f->lookup, f->born_seq, clock_mono_us());
    fetch_finish_flight(f, shared || ran_out ? FLIGHT_ERROR : FLIGHT_NONE, ran_out ? FETCH_RAN_OUT : status);
    fetch_answer_failure(f, conf->cached ? SOURCE_MISS : SOURCE_NONE);
}

void fetch_keep(struct fetch *f, const struct cache_entry *entry, int64_t now_us)
{
    struct service *s = f->r->service;
    bool stored = lookup_store(&f->lookup, entry, now_us);
    FAULT(fetch_stored);
    fetch_finish_flight(f, stored && entry->fresh_until_us > now_us ? FLIGHT_VALUE : FLIGHT_NONE, 0);
    /* Another machine's invalidation may be known to Redis alone: not on the replica yet, nor in memory here. */
    if (uses_redis(f) && !f->r->origin.shrunk && (!f->r->origin.lags || !lookup_has_tags(&f->lookup))) {
        const struct redis_key key = redis_key_of(f);
        redis_store(s->redis, &key, &f->versions, entry, now_us);
    }
}

/* Not to be kept, nor what a fan has of it; what only this consumer lacks tells nothing of what others would get. */
static void leave(struct fetch *f, int64_t now_us)
{
    if (is_kept(f) && f->r->origin.unkept)
        lookup_mark_uncacheable(&f->lookup, f->born_seq, now_us);
    fetch_finish_flight(f, FLIGHT_NONE, 0);
}

static void on_body(struct fetch *f, struct slice body)
{
    int64_t now_us = clock_mono_us();
    struct cache_entry entry;
    if (MUTANT(born_late))
        f->born_seq = tags_now(f->r->service->shared->tags);
    FAULT(fetch_read);
    fill_entry(f, body, now_us, &entry);
    if (is_kept(f) && !f->r->origin.unkept && !f->r->origin.own)
        fetch_keep(f, &entry, now_us);
    else
        leave(f, now_us);
    fetch_answer(f, f->r->route->conf->cached ? SOURCE_MISS : SOURCE_NONE, &entry, false, now_us);
}

/* True: the replica failed for reasons of its own, so the primary is asked. */
static bool asks_primary(struct fetch *f, const struct pool_outcome *outcome)
{
    struct service *s = f->r->service;
    if (!is_from_replica(f) || f->stream.sends || f->stream.head_only ||
        !replicas_failed(s->replicas, f->pool, outcome))
        return false;
    if (streams(f))
        f->stream.taker.rows(f->stream.taker.arg, NULL);
    service_count(s, STAT_replica_fallbacks);
    read_from(f, s->pool);
    return true;
}

static void on_rows(void *arg, const struct pool_outcome *outcome)
{
    struct fetch *f = arg;
    static struct buf body; /* the last one's memory serves the next */
    if (asks_primary(f, outcome))
        return;
    body.len = 0;
    if (rows_read(f->r, outcome, &body))
        on_body(f, buf_slice(&body));
    else
        on_failed(f);
    if (body.cap > BODY_KEPT_BYTES)
        buf_deinit(&body);
}

static void on_streamed(void *arg, const struct pool_outcome *outcome)
{
    struct fetch *f = arg;
    struct buf body;
    if (asks_primary(f, outcome))
        return;
    switch (stream_end(&f->stream, outcome, &body)) {
    case STREAM_WHOLE:
        on_body(f, buf_slice(&body));
        stream_recycle(&body);
        break;
    case STREAM_SENT:
        break;
    case STREAM_FAILED:
        on_failed(f);
        break;
    }
}

/* What may be cached is fetched to its end: others wait for it, or soon ask for it. */
static void on_gone(void *arg)
{
    struct fetch *f = arg;
    if (f->r->route->combine != NULL)
        combine_forget(&f->combined);
    else
        pool_forget(f->pool, f->job);
    if (!streams(f) || !stream_cut(&f->stream))
        fetch_fail(f, SOURCE_NONE, 503, "gone", NULL);
}

static void on_room(void *arg)
{
    struct fetch *f = arg;
    stream_go_on(&f->stream);
}

static void watch_consumer(struct fetch *f)
{
    f->r->http->gone = on_gone;
    f->r->http->room = on_room;
    f->r->http->handler_arg = f;
}

/* Too large for the cache, it is this consumer's alone. A refresh has none. */
static bool on_long(void *arg)
{
    struct fetch *f = arg;
    if (f->r->route->conf->cached && !f->keeps_out)
        lookup_mark_uncacheable(&f->lookup, f->born_seq, clock_mono_us());
    fetch_finish_flight(f, FLIGHT_NONE, 0);
    if (f->refreshes || http_is_gone(f->r->http))
        return false;
    f->r->source = f->r->route->conf->cached ? SOURCE_MISS : SOURCE_NONE;
    watch_consumer(f);
    return true;
}

static size_t hold_bytes(const struct fetch *f)
{
    const struct service *s = f->r->service;
    if (!f->r->route->conf->cached || f->keeps_out)
        return (size_t)s->conf->stream_above_bytes;
    return cache_largest_bytes(s->shared->cache) - MIN(f->lookup.key.bytes.len, cache_largest_bytes(s->shared->cache));
}

static void read_from(struct fetch *f, struct pool *pool)
{
    struct pool_work work = rows_work(f->r);
    work.taker = streams(f) ? &f->stream.taker : NULL;
    f->pool = pool;
    f->r->origin.lags = is_from_replica(f);
    f->job = f->stream.job = pool_run(pool, &work, streams(f) ? on_streamed : on_rows, f);
}

/* After born_seq was read: what is dropped later drops the answer too, what was dropped before is on the replica. */
static struct pool *choose_pool(const struct fetch *f)
{
    struct service *s = f->r->service;
    if (!f->r->route->conf->replica)
        return s->pool;
    struct pool *replica = replicas_choose(s->replicas, f->lookup.tag_slots, f->lookup.tag_count);
    if (replica == NULL)
        service_count(s, STAT_replica_fallbacks);
    return replica ? replica : s->pool;
}

static void from_database(struct fetch *f)
{
    if (streams(f))
        stream_init(&f->stream, f->r, hold_bytes(f), on_long, f);
    if (f->r->route->combine != NULL)
        combine_run(f->r->route->combine, &f->combined, f->r, on_rows, f);
    else
        read_from(f, choose_pool(f));
    if (!f->r->route->conf->cached || f->keeps_out)
        watch_consumer(f);
}

/* ---- other routes ---- */

static void on_fan_done(void *arg, const struct fan_answer *answer)
{
    struct fetch *f = arg;
    f->fan = NULL;
    if (answer->whole)
        on_body(f, answer->body);
    else
        on_failed(f);
}

static void on_fan_gone(void *arg)
{
    struct fetch *f = arg;
    fan_forget(&f->fan);
    fetch_finish_flight(f, FLIGHT_NONE, 0);
    fetch_fail(f, SOURCE_NONE, 503, "gone", NULL);
}

static void from_fan(struct fetch *f)
{
    f->fan = fan_start(f->r, on_fan_done, f);
    if (is_kept(f) || f->refreshes)
        return;
    f->r->http->gone = on_fan_gone;
    f->r->http->handler_arg = f;
}

static void ask_origin(struct fetch *f)
{
    switch (f->r->route->conf->from) {
    case FROM_SQL:
        from_database(f);
        return;
    case FROM_UPSTREAM:
        fetch_from_upstream(f);
        return;
    case FROM_FAN:
        from_fan(f);
        return;
    case FROM_BATCH:
        break;
    }
    CHECK(!"a batch is not read");
}

static bool is_alone(const struct fetch *f)
{
    return !is_kept(f) || f->keeps_out || f->r->personal;
}

/* Those who wait for it would find no permit either. */
static void refuse(struct fetch *f)
{
    permit_refuse(f->r);
    fetch_finish_flight(f, FLIGHT_ERROR, 503);
    fetch_answer_failure(f, is_alone(f) ? SOURCE_NONE : SOURCE_MISS);
}

static void on_permit(void *arg, bool have)
{
    struct fetch *f = arg;
    if (is_alone(f) && http_is_gone(f->r->http)) {
        fetch_finish_flight(f, FLIGHT_NONE, 0);
        fetch_fail(f, SOURCE_NONE, 503, "gone", NULL);
    } else if (have) {
        ask_origin(f);
    } else {
        refuse(f);
    }
}

void fetch_from_origin(struct fetch *f)
{
    f->permit_waiter = (struct permit_waiter){.r = f->r, .turn = on_permit, .arg = f};
    if (permit_ready(f->r))
        ask_origin(f);
    else if (!permit_wait(&f->permit_waiter))
        refuse(f);
}

/* ---- Redis ---- */

/* What Redis has must be younger than what is refreshed, or it would be asked for again and again. */
static bool is_enough(const struct fetch *f, const struct cache_entry *found, int64_t now_us)
{
    if (cache_fresh_until_us(f->r->service->shared->cache, &f->lookup.rules, found) <= now_us)
        return false; /* what Redis has may be older than the last that was heard of changes */
    return !f->refreshes || found->fresh_until_us - now_us > f->r->route->conf->cache_ttl_us / 2;
}

static void on_looked(void *arg, enum redis_found found, const struct redis_versions *versions,
                      const struct cache_entry *found_entry)
{
    struct fetch *f = arg;
    int64_t now_us = clock_mono_us();
    if (found != REDIS_HIT || !is_enough(f, found_entry, now_us)) {
        f->versions = *versions;
        fetch_from_origin(f);
        return;
    }
    struct cache_entry entry = *found_entry;
    entry.born_seq = f->born_seq;
    /* The clock of the machine that stored it may be ahead. */
    if (f->r->route->conf->cache_ttl_us > 0)
        entry.fresh_until_us = MIN(entry.fresh_until_us, now_us + jittered(f->r->route->conf->cache_ttl_us));
    bool stored = lookup_store(&f->lookup, &entry, now_us);
    fetch_finish_flight(f, stored ? FLIGHT_VALUE : FLIGHT_NONE, 0);
    fetch_answer(f, SOURCE_REDIS, &entry, false, now_us);
}

void fetch_from_source(struct fetch *f)
{
    const struct redis_key key = redis_key_of(f);
    if (!uses_redis(f) || !redis_look(f->r->service->redis, &key, on_looked, f))
        fetch_from_origin(f);
}
