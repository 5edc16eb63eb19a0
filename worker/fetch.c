#include "worker/fetch.h"
#include "common/clock.h"
#include "shm/doing.h"
#include "shm/fault.h"
#include "shm/tags.h"
#include "worker/fetch_state.h"
#include "worker/rate.h"

#include <stdlib.h>

/* A flight whose owner died, or which ended without a value, is joined again so often; then each fetches alone. */
enum { JOINS_MAX = 3 };
/* Beyond the owner's own time-outs: then the waiter no longer trusts the owner to end. */
#define WAIT_GRACE_US (500 * US_PER_MS)

static void join(struct fetch *f);

double fetch_uniform(void)
{
    return ((double)random() + 1) / ((double)RAND_MAX + 1);
}

/* ---- single flight ---- */

static void fetch_alone(struct fetch *f)
{
    f->ticket.role = FLIGHT_UNSHARED;
    f->born_seq = tags_now(f->r->service->shared->tags);
    service_count(f->r->service, STAT_cache_unshared);
    fetch_from_source(f);
}

/* The last owner may have finished between our look and our claim*. */
static void fetch_as_owner(struct fetch *f)
{
    struct service *s = f->r->service;
    const struct flight_ticket ticket = f->ticket;
    f->born_seq = ticket.born_seq;
    if (!MUTANT(no_recheck_claim) && fetch_answer_cached(f, SOURCE_COALESCED, 0))
        flight_finish(s->shared->flights, &ticket, s->proc, FLIGHT_VALUE, 0, s->shared->wake_fd);
    else
        fetch_from_source(f);
}

static bool time_is_over(const struct request *r)
{
    return clock_mono_us() >= r->deadline_us;
}

static void on_late(struct fetch *f)
{
    struct service *s = f->r->service;
    if (time_is_over(f->r)) {
        fetch_fail(f, SOURCE_COALESCED, 504, "timeout", "the fetch that this request shared takes too long");
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
    bool dropped = !tags_valid(tags, f->ticket.born_seq, f->lookup.tag_slots, f->lookup.tag_count);
    if (status == FETCH_RAN_OUT || (dropped && !MUTANT(error_any_tags))) {
        join(f);
        return;
    }
    service_count(s, STAT_cache_coalesced);
    if (status == 404)
        fetch_fail(f, SOURCE_COALESCED, status, "not_found", "there is no such row");
    else
        fetch_fail(f, SOURCE_COALESCED, status, "fetch_failed", "the fetch that this request shared failed");
}

static void on_flight_ended(struct parked *parked, enum park_end end, int status)
{
    struct fetch *f = (struct fetch *)(void *)((char *)parked - offsetof(struct fetch, parked));
    f->ticket = parked->ticket;
    switch (end) {
    case PARK_VALUE:
        if (!fetch_answer_cached(f, SOURCE_COALESCED, f->ticket.born_seq))
            join(f);
        return;
    case PARK_ERROR:
        on_shared_failure(f, status);
        return;
    case PARK_NONE:
        fetch_alone(f);
        return;
    case PARK_GONE:
        if (!fetch_answer_cached(f, SOURCE_COALESCED, 0))
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
    int64_t owner_us =
        f->r->route->conf->timeout_us + conf->database.acquire_timeout_us + conf->permit_wait_us + WAIT_GRACE_US;
    f->parked = (struct parked){.ticket = f->ticket,
                                .deadline_us = MIN(clock_mono_us() + owner_us, f->r->deadline_us),
                                .ended = on_flight_ended};
    if (park_add(f->r->service->park, &f->parked))
        return;
    service_count(f->r->service, STAT_cache_refused);
    fetch_fail(f, SOURCE_COALESCED, 503, "overloaded", "too many requests wait for the same fetches");
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

static bool memory_is_shed(const struct request *r)
{
    return pressure_level(r->service->shared->pressure) == MEMORY_SHED;
}

/* True: answered, by 503 or by what is kept for a source that fails. Parts of a fan are asked one by one. */
static bool refused_for_memory(struct fetch *f)
{
    if (!memory_is_shed(f->r) || f->r->route->conf->from == FROM_FAN)
        return false;
    service_count(f->r->service, STAT_memory_refused);
    fetch_fail(f, SOURCE_NONE, 503, "overloaded", "memory is short: only what the cache has is answered for now");
    return true;
}

/* The consumer is answered; the request lives on for what its key will be asked for next. */
static void refresh(struct fetch *f)
{
    struct service *s = f->r->service;
    if (!s->draining && !memory_is_shed(f->r) && permit_ready(f->r))
        f->ticket = ask_for_flight(f, false);
    if (f->ticket.role != FLIGHT_OWNER) {
        request_release(f->r);
        return;
    }
    f->refreshes = true;
    f->r->origin = (struct http_origin){0}; /* of the answer that was given */
    s->in_flight++;
    service_count(s, STAT_cache_refreshes);
    f->r->started_us = f->began_us = clock_mono_us();
    f->r->deadline_us = f->began_us + s->conf->request_timeout_us;
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

static void count_miss(const struct request *r, bool expired)
{
    const struct service *s = r->service;
    service_count(r->service, STAT_cache_misses);
    stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_misses, 1);
    if (expired)
        stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_expired, 1);
}

/* True: answered. */
static bool answer_found(struct fetch *f, enum cache_state state, struct cache_entry *entry, int64_t now_us)
{
    struct service *s = f->r->service;
    switch (state) {
    case CACHE_FRESH:
        count_hit(s, entry);
        if (!entry->negative && (f->r->http->early || cache_is_early(entry, now_us, fetch_uniform)))
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
    doing_for(DOING_hit, r->route->row);
    lookup_init(&lookup, r, key);
    enum cache_state state = lookup_find(&lookup, now_us, &entry);
    if (state == CACHE_MISS)
        return false;
    r->http->early = state == CACHE_FRESH && !entry.negative && cache_is_early(&entry, now_us, fetch_uniform);
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
        if (rate_passes(r) && !refused_for_memory(f))
            fetch_from_origin(f);
        return;
    }
    const struct cache_key key = lookup_key(r);
    lookup_init(&f->lookup, r, &key);
    f->untagged = !lookup_tags(&f->lookup);
    enum cache_state state = lookup_find(&f->lookup, f->began_us, &entry);
    if (state == CACHE_FRESH && entry.uncacheable) {
        cache_release(&entry);
        count_miss(r, false);
        f->keeps_out = true;
        if (rate_passes(r) && !refused_for_memory(f))
            fetch_alone(f);
    } else if (!answer_found(f, state, &entry, f->began_us)) {
        count_miss(r, state == CACHE_SPARE || (state == CACHE_MISS && entry.absence == CACHE_EXPIRED));
        if (!rate_passes(r) || refused_for_memory(f))
            return;
        if (r->personal || f->lookup.never_fresh || (state == CACHE_MISS && f->untagged))
            fetch_alone(f); /* nobody could take its answer */
        else
            join(f);
    }
}
