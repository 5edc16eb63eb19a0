#include "worker/fetch.h"
#include "common/clock.h"
#include "shm/tags.h"
#include "worker/park.h"
#include "worker/redis.h"
#include "worker/reply.h"
#include "worker/rows.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* A flight whose owner died, or which ended without a value, is joined again so often; then each fetches alone. */
enum { JOINS_MAX = 3 };
/* Beyond the owner's own time-outs: then the waiter no longer trusts the owner to end. */
#define WAIT_GRACE_US (500 * US_PER_MS)

struct fetch {
    struct request *r;
    struct slice key;
    uint64_t hash;
    uint32_t tag_slots[CACHE_TAGS_MAX];
    int tag_count;
    uint64_t born_seq; /* tags_now() before this fetch began */
    struct flight_ticket ticket;
    int joins;
    struct parked parked;
    struct redis_versions versions;
};

static void join(struct fetch *f);
static void from_redis(struct fetch *f);

static struct redis_key redis_key_of(const struct fetch *f)
{
    return (struct redis_key){f->key, f->tag_slots, f->tag_count};
}

static int64_t jittered(int64_t us)
{
    return us - us / 20 + (int64_t)((double)us / 10 * ((double)random() / RAND_MAX));
}

/* ---- ends ---- */

static void answer_entry(struct fetch *f, enum source source, const struct cache_entry *entry, int64_t now_us)
{
    const struct answer answer = {.status = entry->status,
                                  .body = entry->body,
                                  .content_type = entry->content_type[0] ? entry->content_type : NULL,
                                  .etag = entry->etag,
                                  .age_us = source == SOURCE_MISS ? -1 : MAX(now_us - entry->created_us, INT64_C(0))};
    f->r->source = source;
    reply_answer(f->r, &answer);
}

static void finish_flight(struct fetch *f, enum flight_end end, int status)
{
    if (f->ticket.role == FLIGHT_OWNER)
        park_finish(f->r->service->park, &f->ticket, end, status);
}

/* ---- the shared cache ---- */

/* True: answered. least_born_seq: what a waiter may take from the flight that it waited for. */
static bool from_cache(struct fetch *f, enum source source, uint64_t least_born_seq)
{
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    if (!cache_get(f->r->service->shared->cache, f->key, now_us, &entry))
        return false;
    bool fits = entry.born_seq >= least_born_seq;
    if (fits)
        answer_entry(f, source, &entry, now_us);
    cache_release(&entry);
    return fits;
}

static bool store(struct fetch *f, const struct cache_entry *entry, int64_t now_us)
{
    struct service *s = f->r->service;
    bool stored = cache_put(s->shared->cache, f->key, entry, now_us);
    service_count(s, stored ? STAT_cache_puts : STAT_cache_put_failures);
    return stored;
}

/* ---- the database ---- */

static void fill_entry(struct fetch *f, struct slice body, int64_t now_us, struct cache_entry *entry)
{
    const struct conf_route *conf = f->r->route->conf;
    *entry = (struct cache_entry){.body = body,
                                  .created_us = now_us,
                                  .fresh_until_us = now_us + jittered(conf->cache_ttl_us),
                                  .tti_us = conf->cache_tti_us,
                                  .born_seq = f->born_seq,
                                  .tag_count = f->tag_count,
                                  .status = conf->status};
    memcpy(entry->tag_slots, f->tag_slots, sizeof entry->tag_slots);
    if (body.len > 0)
        snprintf(entry->content_type, sizeof entry->content_type, "application/json");
    reply_etag(body, entry->etag);
}

static void on_rows(void *arg, const struct pool_outcome *outcome)
{
    struct fetch *f = arg;
    struct request *r = f->r;
    struct buf body = {0};
    int64_t now_us = clock_mono_us();
    struct cache_entry entry;
    if (!rows_read(r, outcome, &body)) {
        /* A missing row and a failing database are so for all who wait; a refused value is told in its own words. */
        bool shared = r->problem.status == 404 || r->problem.status >= 500;
        finish_flight(f, shared ? FLIGHT_ERROR : FLIGHT_NONE, r->problem.status);
        r->source = r->route->conf->cached ? SOURCE_MISS : SOURCE_NONE;
        reply_problem(r);
    } else if (!r->route->conf->cached) {
        fill_entry(f, buf_slice(&body), now_us, &entry);
        answer_entry(f, SOURCE_NONE, &entry, now_us);
    } else {
        fill_entry(f, buf_slice(&body), now_us, &entry);
        bool stored = store(f, &entry, now_us);
        finish_flight(f, stored ? FLIGHT_VALUE : FLIGHT_NONE, 0);
        if (r->service->redis != NULL) {
            const struct redis_key key = redis_key_of(f);
            redis_store(r->service->redis, &key, &f->versions, &entry, now_us);
        }
        answer_entry(f, SOURCE_MISS, &entry, now_us);
    }
    buf_deinit(&body);
}

static void from_database(struct fetch *f)
{
    const struct pool_work work = rows_work(f->r);
    pool_run(f->r->service->pool, &work, on_rows, f);
}

/* ---- Redis ---- */

static void on_looked(void *arg, enum redis_found found, const struct redis_versions *versions,
                      const struct cache_entry *found_entry)
{
    struct fetch *f = arg;
    if (found != REDIS_HIT) {
        f->versions = *versions;
        from_database(f);
        return;
    }
    int64_t now_us = clock_mono_us();
    struct cache_entry entry = *found_entry;
    entry.born_seq = f->born_seq;
    bool stored = store(f, &entry, now_us);
    finish_flight(f, stored ? FLIGHT_VALUE : FLIGHT_NONE, 0);
    answer_entry(f, SOURCE_REDIS, &entry, now_us);
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

static bool tags_still_hold(void *arg, uint64_t flight_born_seq)
{
    struct fetch *f = arg;
    return tags_valid(f->r->service->shared->tags, flight_born_seq, f->tag_slots, f->tag_count);
}

static void fetch_alone(struct fetch *f)
{
    f->ticket.role = FLIGHT_UNSHARED;
    f->born_seq = tags_now(f->r->service->shared->tags);
    service_count(f->r->service, STAT_cache_unshared);
    from_redis(f);
}

static void on_flight_ended(struct parked *parked, enum park_end end, int status)
{
    struct fetch *f = (struct fetch *)(void *)((char *)parked - offsetof(struct fetch, parked));
    struct service *s = f->r->service;
    switch (end) {
    case PARK_VALUE:
        if (from_cache(f, SOURCE_COALESCED, f->ticket.born_seq))
            service_count(s, STAT_cache_coalesced);
        else
            join(f);
        return;
    case PARK_ERROR:
        f->r->source = SOURCE_COALESCED;
        service_count(s, STAT_cache_coalesced);
        if (status == 404)
            reply_refuse(f->r, 404, "not_found", "there is no such row");
        else
            reply_refuse(f->r, status, "fetch_failed", "the fetch that this request shared failed");
        return;
    case PARK_NONE:
    case PARK_LATE:
        fetch_alone(f);
        return;
    case PARK_ORPHAN:
        join(f);
        return;
    }
}

static void wait_for_owner(struct fetch *f)
{
    const struct conf *conf = f->r->service->conf;
    f->parked = (struct parked){
        .ticket = f->ticket,
        .key_hash = f->hash,
        .deadline_us = clock_mono_us() + WAIT_GRACE_US +
                       MIN(f->r->route->conf->timeout_us + conf->database.acquire_timeout_us, conf->request_timeout_us),
        .ended = on_flight_ended};
    park_add(f->r->service->park, &f->parked);
}

/* The last owner may have finished between our look and our joining. */
static bool owner_finds_value(struct fetch *f)
{
    struct service *s = f->r->service;
    const struct flight_ticket ticket = f->ticket;
    if (!from_cache(f, SOURCE_COALESCED, 0))
        return false;
    service_count(s, STAT_cache_coalesced);
    park_finish(s->park, &ticket, FLIGHT_VALUE, 0);
    return true;
}

static void join(struct fetch *f)
{
    struct service *s = f->r->service;
    if (f->joins++ == JOINS_MAX) {
        fetch_alone(f);
        return;
    }
    f->born_seq = tags_now(s->shared->tags);
    f->ticket = flight_join(s->shared->flights, f->hash, s->proc, f->born_seq, tags_still_hold, f);
    switch (f->ticket.role) {
    case FLIGHT_OWNER:
        if (!owner_finds_value(f))
            from_redis(f);
        return;
    case FLIGHT_WAITER:
        wait_for_owner(f);
        return;
    case FLIGHT_UNSHARED:
        fetch_alone(f);
        return;
    }
}

void fetch_start(struct request *r)
{
    const struct conf_route *conf = r->route->conf;
    struct service *service = r->service;
    struct fetch *f = arena_alloc(r->arena, sizeof *f);
    f->r = r;
    f->ticket.role = FLIGHT_UNSHARED;
    if (!conf->cached) {
        from_database(f);
        return;
    }
    f->key = params_key(r->route, r->values, r->arena);
    f->hash = XXH3_64bits(f->key.at, f->key.len);
    f->tag_count = conf->cache_tags.count;
    params_tags(r->route, &conf->cache_tags, r->values, f->tag_slots);
    if (from_cache(f, SOURCE_HIT, 0)) {
        service_count(service, STAT_cache_hits);
        return;
    }
    service_count(service, STAT_cache_misses);
    join(f);
}
