#include "worker/fetch.h"
#include "common/clock.h"
#include "shm/fault.h"
#include "shm/tags.h"
#include "sql/replicas.h"
#include "worker/combine.h"
#include "worker/format.h"
#include "worker/lookup.h"
#include "worker/park.h"
#include "worker/redis.h"
#include "worker/reply.h"
#include "worker/rows.h"
#include "worker/stream.h"

#include <stdlib.h>

/* A flight whose owner died, or which ended without a value, is joined again so often; then each fetches alone. */
enum { JOINS_MAX = 3 };
/* A longer body's memory is given back. */
enum { BODY_KEPT_BYTES = 1 << 20 };
/* Beyond the owner's own time-outs: then the waiter no longer trusts the owner to end. */
#define WAIT_GRACE_US (500 * US_PER_MS)

struct fetch {
    struct request *r;
    struct lookup lookup;
    uint64_t born_seq; /* tags_now() before this fetch began */
    int64_t began_us;
    struct flight_ticket ticket;
    int joins;
    bool keeps_out;         /* of the cache: the last answer was too large for it */
    bool refreshes;         /* nobody waits for it: the consumer has its answer */
    int64_t known_until_us; /* of the value that it refreshes */
    struct parked parked;
    struct redis_versions versions;
    struct pool *pool; /* that it reads from */
    struct pool_job *job;
    struct stream stream;     /* of rows */
    struct combined combined; /* in place of job, where the route combines its lookups */
};

static void join(struct fetch *f);

static struct redis_key redis_key_of(const struct fetch *f)
{
    return (struct redis_key){f->lookup.key.bytes, f->lookup.tag_slots, f->lookup.tag_count};
}

/* In (0, 1]. */
static double uniform(void)
{
    return ((double)random() + 1) / ((double)RAND_MAX + 1);
}

static int64_t jittered(int64_t us)
{
    return us - us / 20 + (int64_t)((double)us / 10 * uniform());
}

/* ---- ends ---- */

static void finish_flight(struct fetch *f, enum flight_end end, int status)
{
    const struct service *s = f->r->service;
    if (f->ticket.role == FLIGHT_OWNER)
        flight_finish(s->shared->flights, &f->ticket, s->proc, end, status, s->shared->wake_fd);
    f->ticket.role = FLIGHT_UNSHARED;
}

static void end_refresh(struct fetch *f)
{
    f->r->service->in_flight--;
    request_release(f->r);
}

static void answer(struct fetch *f, enum source source, struct cache_entry *entry, bool lent, int64_t now_us)
{
    if (!f->refreshes) {
        lookup_answer(&f->lookup, source, entry, lent, now_us);
        return;
    }
    if (lent)
        cache_release(entry);
    end_refresh(f);
}

/* True: answered by a value whose time is over, since the source has failed. */
static bool answer_spare(struct fetch *f)
{
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    if (f->lookup.rules.stale_if_error_us == 0 || lookup_find(&f->lookup, now_us, &entry) == CACHE_MISS)
        return false;
    if (entry.negative || entry.uncacheable) {
        cache_release(&entry);
        return false;
    }
    service_count(f->r->service, STAT_cache_stale);
    answer(f, SOURCE_STALE, &entry, true, now_us);
    return true;
}

/* r->problem says why. */
static void answer_failure(struct fetch *f, enum source source)
{
    struct request *r = f->r;
    if (f->refreshes) {
        end_refresh(f);
    } else if (r->problem.status < 500 || !answer_spare(f)) {
        r->source = source;
        reply_problem(r);
    }
}

static void fail(struct fetch *f, enum source source, int status, const char *code, const char *detail)
{
    f->r->problem.status = status;
    f->r->problem.code = code;
    f->r->problem.detail = detail;
    answer_failure(f, source);
}

/* ---- the shared cache ---- */

/* True: answered. least_born_seq: what a waiter may take from the flight that it waited for. */
static bool answer_cached(struct fetch *f, enum source source, uint64_t least_born_seq)
{
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    enum cache_state state = lookup_find(&f->lookup, now_us, &entry);
    if (state == CACHE_MISS)
        return false;
    if (state != CACHE_FRESH || entry.uncacheable || entry.born_seq < least_born_seq ||
        entry.fresh_until_us <= f->known_until_us) {
        cache_release(&entry);
        return false;
    }
    if (!f->refreshes)
        service_count(f->r->service, STAT_cache_coalesced);
    answer(f, source, &entry, true, now_us);
    return true;
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
    *entry = (struct cache_entry){.body = body,
                                  .head = head_of(f, body),
                                  .own_head = f->r->head.len > 0,
                                  .created_us = now_us,
                                  .fresh_until_us = now_us + jittered(conf->cache_ttl_us),
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
    bool shared = status == 404 || status >= 500;
    /* 503 is this worker's own: no connection, no room in the queue. */
    if (conf->cached && conf->cache_negative_us > 0 && shared && status != 503)
        lookup_store_problem(&f->lookup, f->born_seq, clock_mono_us());
    finish_flight(f, shared ? FLIGHT_ERROR : FLIGHT_NONE, status);
    answer_failure(f, conf->cached ? SOURCE_MISS : SOURCE_NONE);
}

static void on_body(struct fetch *f, struct slice body)
{
    struct service *s = f->r->service;
    int64_t now_us = clock_mono_us();
    struct cache_entry entry;
    if (MUTANT(born_late))
        f->born_seq = tags_now(s->shared->tags);
    FAULT(fetch_read);
    fill_entry(f, body, now_us, &entry);
    if (!f->r->route->conf->cached) {
        answer(f, SOURCE_NONE, &entry, false, now_us);
        return;
    }
    bool stored = lookup_store(&f->lookup, &entry, now_us);
    FAULT(fetch_stored);
    finish_flight(f, stored ? FLIGHT_VALUE : FLIGHT_NONE, 0);
    /* Another machine's invalidation may be known to Redis alone, and not be on the replica yet. */
    if (s->redis != NULL && (!is_from_replica(f) || f->lookup.tag_count == 0)) {
        const struct redis_key key = redis_key_of(f);
        redis_store(s->redis, &key, &f->versions, &entry, now_us);
    }
    answer(f, SOURCE_MISS, &entry, false, now_us);
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
        fail(f, SOURCE_NONE, 503, "gone", NULL);
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
    finish_flight(f, FLIGHT_NONE, 0);
    if (f->refreshes)
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
    if (!f->r->route->conf->cached)
        watch_consumer(f);
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
        from_database(f);
        return;
    }
    struct cache_entry entry = *found_entry;
    entry.born_seq = f->born_seq;
    bool stored = lookup_store(&f->lookup, &entry, now_us);
    finish_flight(f, stored ? FLIGHT_VALUE : FLIGHT_NONE, 0);
    answer(f, SOURCE_REDIS, &entry, false, now_us);
}

static void from_redis(struct fetch *f)
{
    if (f->r->service->redis == NULL) {
        from_database(f);
        return;
    }
    const struct redis_key key = redis_key_of(f);
    redis_look(f->r->service->redis, &key, on_looked, f);
}

/* ---- single flight ---- */

static void fetch_alone(struct fetch *f)
{
    f->ticket.role = FLIGHT_UNSHARED;
    f->born_seq = tags_now(f->r->service->shared->tags);
    service_count(f->r->service, STAT_cache_unshared);
    from_redis(f);
}

/* The last owner may have finished between our look and our claim*. */
static void fetch_as_owner(struct fetch *f)
{
    struct service *s = f->r->service;
    const struct flight_ticket ticket = f->ticket;
    f->born_seq = ticket.born_seq;
    if (!MUTANT(no_recheck_claim) && answer_cached(f, SOURCE_COALESCED, 0))
        flight_finish(s->shared->flights, &ticket, s->proc, FLIGHT_VALUE, 0, s->shared->wake_fd);
    else
        from_redis(f);
}

static bool time_is_over(const struct request *r)
{
    return clock_mono_us() - r->started_us >= r->service->conf->request_timeout_us;
}

static void on_late(struct fetch *f)
{
    struct service *s = f->r->service;
    if (time_is_over(f->r)) {
        fail(f, SOURCE_COALESCED, 504, "timeout", "the fetch that this request shared takes too long");
    } else if (flight_take_over(s->shared->flights, &f->ticket, s->proc, s->shared->tags)) {
        service_count(s, STAT_cache_taken_over);
        fetch_as_owner(f);
    } else {
        join(f);
    }
}

/* The failure of a fetch that began before an invalidation says nothing about what came after it. */
static void on_shared_failure(struct fetch *f, int status)
{
    struct service *s = f->r->service;
    struct tags *tags = s->shared->tags;
    if (!MUTANT(error_any_tags) && !tags_valid(tags, f->ticket.born_seq, f->lookup.tag_slots, f->lookup.tag_count)) {
        join(f);
        return;
    }
    service_count(s, STAT_cache_coalesced);
    if (status == 404)
        fail(f, SOURCE_COALESCED, status, "not_found", "there is no such row");
    else
        fail(f, SOURCE_COALESCED, status, "fetch_failed", "the fetch that this request shared failed");
}

static void on_flight_ended(struct parked *parked, enum park_end end, int status)
{
    struct fetch *f = (struct fetch *)(void *)((char *)parked - offsetof(struct fetch, parked));
    f->ticket = parked->ticket;
    switch (end) {
    case PARK_VALUE:
        if (!answer_cached(f, SOURCE_COALESCED, f->ticket.born_seq))
            join(f);
        return;
    case PARK_ERROR:
        on_shared_failure(f, status);
        return;
    case PARK_NONE:
        fetch_alone(f);
        return;
    case PARK_GONE:
        if (!answer_cached(f, SOURCE_COALESCED, 0))
            join(f);
        return;
    case PARK_LATE:
        on_late(f);
        return;
    }
}

static void wait_for_owner(struct fetch *f)
{
    const struct conf *conf = f->r->service->conf;
    int64_t owner_us = f->r->route->conf->timeout_us + conf->database.acquire_timeout_us + WAIT_GRACE_US;
    f->parked =
        (struct parked){.ticket = f->ticket,
                        .deadline_us = MIN(clock_mono_us() + owner_us, f->r->started_us + conf->request_timeout_us),
                        .ended = on_flight_ended};
    if (park_add(f->r->service->park, &f->parked))
        return;
    service_count(f->r->service, STAT_cache_refused);
    fail(f, SOURCE_COALESCED, 503, "overloaded", "too many requests wait for the same fetches");
}

static struct flight_ticket ask_for_flight(struct fetch *f, bool wait)
{
    struct service *s = f->r->service;
    const struct lookup *l = &f->lookup;
    const struct flight_key key = {l->key.hash, cache_key_check(s->shared->cache, &l->key)};
    return flight_join(s->shared->flights, key, s->proc, s->shared->tags, l->tag_slots, l->tag_count, wait);
}

static void join(struct fetch *f)
{
    if (f->joins++ == JOINS_MAX) {
        fetch_alone(f);
        return;
    }
    f->ticket = ask_for_flight(f, true);
    switch (f->ticket.role) {
    case FLIGHT_OWNER:
        fetch_as_owner(f);
        return;
    case FLIGHT_WAITER:
        wait_for_owner(f);
        return;
    case FLIGHT_UNSHARED:
        fetch_alone(f);
        return;
    }
}

/* ---- beginning ---- */

/* The consumer is answered; the request lives on for what its key will be asked for next. */
static void refresh(struct fetch *f)
{
    struct service *s = f->r->service;
    if (!s->draining)
        f->ticket = ask_for_flight(f, false);
    if (f->ticket.role != FLIGHT_OWNER) {
        request_release(f->r);
        return;
    }
    f->refreshes = true;
    s->in_flight++;
    service_count(s, STAT_cache_refreshes);
    f->r->started_us = f->began_us = clock_mono_us();
    fetch_as_owner(f);
}

static void answer_then_refresh(struct fetch *f, enum source source, struct cache_entry *entry, int64_t now_us)
{
    f->known_until_us = entry->fresh_until_us;
    request_hold(f->r);
    lookup_answer(&f->lookup, source, entry, true, now_us);
    refresh(f);
}

static void count_hit(struct service *s, const struct cache_entry *entry)
{
    service_count(s, STAT_cache_hits);
    if (entry->negative)
        service_count(s, STAT_cache_negative_hits);
}

/* True: answered. */
static bool answer_found(struct fetch *f, enum cache_state state, struct cache_entry *entry, int64_t now_us)
{
    struct service *s = f->r->service;
    switch (state) {
    case CACHE_FRESH:
        count_hit(s, entry);
        if (!entry->negative && (f->r->http->early || cache_is_early(entry, now_us, uniform)))
            answer_then_refresh(f, SOURCE_HIT, entry, now_us);
        else
            lookup_answer(&f->lookup, SOURCE_HIT, entry, true, now_us);
        return true;
    case CACHE_STALE:
        service_count(s, STAT_cache_stale);
        answer_then_refresh(f, SOURCE_STALE, entry, now_us);
        return true;
    case CACHE_SPARE:
        cache_release(entry);
        return false;
    case CACHE_MISS:
        break;
    }
    return false;
}

bool fetch_hit(struct request *r, const struct cache_key *key)
{
    struct lookup lookup;
    struct cache_entry entry;
    int64_t now_us = r->started_us;
    lookup_init(&lookup, r, key);
    enum cache_state state = lookup_find(&lookup, now_us, &entry);
    if (state == CACHE_MISS)
        return false;
    r->http->early = state == CACHE_FRESH && !entry.negative && cache_is_early(&entry, now_us, uniform);
    if (state != CACHE_FRESH || entry.uncacheable || r->http->early) {
        cache_release(&entry);
        return false;
    }
    count_hit(r->service, &entry);
    lookup_answer(&lookup, SOURCE_HIT, &entry, true, now_us);
    return true;
}

static struct fetch *fetch_create(struct request *r)
{
    struct fetch *f = arena_alloc(r->arena, sizeof *f);
    f->r = f->lookup.r = r;
    f->pool = r->service->pool;
    f->ticket.role = FLIGHT_UNSHARED;
    f->began_us = clock_mono_us();
    return f;
}

void fetch_start(struct request *r)
{
    struct fetch *f = fetch_create(r);
    struct cache_entry entry;
    if (!r->route->conf->cached) {
        from_database(f);
        return;
    }
    const struct cache_key key = lookup_key(r);
    lookup_init(&f->lookup, r, &key);
    lookup_tags(&f->lookup);
    enum cache_state state = lookup_find(&f->lookup, f->began_us, &entry);
    if (state == CACHE_FRESH && entry.uncacheable) {
        cache_release(&entry);
        service_count(r->service, STAT_cache_misses);
        f->keeps_out = true;
        fetch_alone(f);
    } else if (!answer_found(f, state, &entry, f->began_us)) {
        service_count(r->service, STAT_cache_misses);
        join(f);
    }
}
