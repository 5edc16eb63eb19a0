#include "tests/fault/lib/storm_world.h"

#include <poll.h>
#include <unistd.h>

/* As the worker's: a flight that did not help is joined again so often, then each fetches alone. */
enum { JOINS_MAX = 3 };
/* After its patience is over a waiter of a flight that has ended hears of it within this time, or nobody woke it. */
enum { WAKE_WITHIN_US = 250000, FAILS_IN = 6, NONE_IN = 20 };

/* ---- the fetch ---- */

/* One owner a generation, and one fetch. */
static void mark(struct storm *st, _Atomic uint32_t seen[][STORM_GENERATIONS], const struct flight_ticket *t)
{
    if (atomic_exchange(&seen[t->slot][t->generation % STORM_GENERATIONS], t->generation) == t->generation)
        storm_count(st, COUNT_doubled);
}

static void finish(struct storm *st, const struct flight_ticket *t, enum flight_end end, int status)
{
    flight_finish(st->scene.flights, t, st->row, end, status, st->scene.shared.wake_fd);
}

/* A failure tells its key and version, as far as ten bits go. */
static int status_of(int key, uint64_t version)
{
    return (key & 31) << 5 | (int)(version & 31);
}

static void fetch_as_owner(struct storm *st, struct storm_request *r, const struct flight_ticket *t)
{
    mark(st, st->shared->owned, t);
    if (!MUTANT(no_recheck_claim) && storm_look(st, r, 0)) {
        finish(st, t, FLIGHT_VALUE, 0);
        return;
    }
    mark(st, st->shared->fetched, t);
    uint64_t version = storm_read(st, r);
    if (storm_chance(FAILS_IN)) {
        finish(st, t, FLIGHT_ERROR, status_of(r->key, version));
        return;
    }
    bool stored = storm_store(st, r, version, t->born_seq);
    finish(st, t, stored && !storm_chance(NONE_IN) ? FLIGHT_VALUE : FLIGHT_NONE, 0);
}

static void fetch_alone(struct storm *st, struct storm_request *r)
{
    uint64_t born_seq = tags_now(st->scene.tags);
    storm_count(st, COUNT_unshared);
    storm_store(st, r, storm_read(st, r), born_seq);
}

/* ---- waiting ---- */

/* True: woken. A wake-up may be another flight's, or a death's. */
static bool wait_for_wake(struct storm *st, int64_t until_us)
{
    struct pollfd p = {.fd = st->scene.shared.wake_fd[st->row], .events = POLLIN};
    int64_t left_us = MAX(until_us - storm_clock_us(st), INT64_C(0));
    uint64_t times;
    return poll(&p, 1, (int)((left_us + 999) / 1000)) == 1 && read(p.fd, &times, sizeof times) == sizeof times;
}

static bool waits_on(struct storm *st, struct flight_ticket *t, int *status_out, enum flight_view *view_out)
{
    *view_out = flight_look(st->scene.flights, t, status_out);
    return *view_out == FLIGHT_RUNNING;
}

/* FLIGHT_RUNNING: its patience is over. */
static enum flight_view wait_for_end(struct storm *st, struct flight_ticket *t, int *status_out)
{
    enum flight_view view;
    int64_t until_us = storm_clock_us(st) + STORM_PATIENCE_US;
    while (storm_clock_us(st) < until_us)
        if (wait_for_wake(st, until_us) && !waits_on(st, t, status_out, &view))
            return view;
    if (waits_on(st, t, status_out, &view))
        return view;
    for (until_us += WAKE_WITHIN_US; storm_clock_us(st) < until_us;)
        if (wait_for_wake(st, until_us))
            return view;
    storm_count(st, COUNT_unwoken);
    return view;
}

static bool is_version_since(const struct storm *st, const struct storm_request *r, int status)
{
    uint64_t newest = st->shared->version[r->key], back = (newest - (uint64_t)status) & 31;
    return newest - r->acknowledged >= 31 || back <= newest - r->acknowledged;
}

/* False: it began before an invalidation and says nothing about what came after it. */
static bool accept_failure(struct storm *st, const struct storm_request *r, const struct flight_ticket *t, int status)
{
    if (!MUTANT(error_any_tags) && !tags_valid(st->scene.tags, t->born_seq, r->tags, ARRAY_LEN(r->tags)))
        return false;
    if (status >> 5 != (r->key & 31))
        storm_count(st, COUNT_mismatches);
    else if (!is_version_since(st, r, status))
        storm_count(st, COUNT_stale);
    storm_count(st, COUNT_failures);
    return true;
}

/* True: the request is done. */
static bool after_flight(struct storm *st, struct storm_request *r, const struct flight_ticket *t,
                         enum flight_view view, int status)
{
    bool done = false;
    switch (view) {
    case FLIGHT_HAS_VALUE:
        done = storm_look(st, r, t->born_seq);
        break;
    case FLIGHT_HAS_NONE:
        fetch_alone(st, r);
        return true;
    case FLIGHT_HAS_FAILED:
        return accept_failure(st, r, t, status);
    case FLIGHT_GONE:
        done = storm_look(st, r, 0);
        break;
    case FLIGHT_RUNNING:
        break;
    }
    if (done)
        storm_count(st, COUNT_coalesced);
    return done;
}

static bool wait_as_one_of_many(struct storm *st, struct storm_request *r, struct flight_ticket *t)
{
    int status = 0;
    enum flight_view view = wait_for_end(st, t, &status);
    flight_leave(st->scene.flights, t, st->row);
    if (view != FLIGHT_RUNNING)
        return after_flight(st, r, t, view, status);
    if (!flight_take_over(st->scene.flights, t, st->row, st->scene.tags))
        return false;
    storm_count(st, COUNT_takeovers);
    fetch_as_owner(st, r, t);
    return true;
}

/* ---- joining ---- */

static struct flight_ticket join(struct storm *st, const struct storm_request *r, bool wait)
{
    const struct flight_key key = {r->cache_key.hash % STORM_SLOTS | (r->cache_key.hash >> 32) << 16,
                                   cache_key_check(st->scene.cache, &r->cache_key)};
    return flight_join(st->scene.flights, key, st->row, st->scene.tags, r->tags, ARRAY_LEN(r->tags), wait);
}

void storm_miss(struct storm *st, struct storm_request *r)
{
    for (int joins = 0; joins < JOINS_MAX; joins++) {
        struct flight_ticket t = join(st, r, true);
        switch (t.role) {
        case FLIGHT_OWNER:
            fetch_as_owner(st, r, &t);
            return;
        case FLIGHT_WAITER:
            if (wait_as_one_of_many(st, r, &t))
                return;
            break;
        case FLIGHT_UNSHARED:
            fetch_alone(st, r);
            return;
        }
    }
    fetch_alone(st, r);
}

void storm_refresh(struct storm *st, struct storm_request *r)
{
    struct flight_ticket t = join(st, r, false);
    if (t.role == FLIGHT_OWNER)
        fetch_as_owner(st, r, &t);
}
