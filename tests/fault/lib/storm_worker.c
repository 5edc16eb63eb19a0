#include "common/clock.h"
#include "tests/fault/lib/storm_world.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    TTL_MS_MOST = 3000,
    HOT_TTL_MS_MOST = 10,
    HOT_KEYS = 8,
    STALE_US = 20000,
    HOLD_US_MOST = 4000,
    KEEP_EVERY_US = 300
};
/* Of a hundred operations; the rest browses, and now and then raises the epoch. */
enum { IN_HUNDRED = 100, GETS = 60, WRITES = 5, ALONE = 10, REFRESHES = 2, BROWSED = 30 };

/* ---- small change ---- */

void storm_count(struct storm *st, enum storm_count what)
{
    st->shared->counts[what]++;
}

int64_t storm_clock_us(const struct storm *st)
{
    return st->shared->clock_us;
}

uint64_t storm_random(uint64_t below)
{
    return (uint64_t)random() % below;
}

bool storm_chance(int in)
{
    return storm_random((uint64_t)in) == 0;
}

void storm_sleep_us(int64_t us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static int pick_key(const struct storm *st)
{
    double at = (double)random() / RAND_MAX;
    int low = 0, high = STORM_KEYS - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (st->zipf[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- requests ---- */

static struct storm_request *begin(struct storm *st, int key)
{
    static struct storm_request r;
    r = (struct storm_request){.key = key,
                               .rules = {.stale_us = key % 3 == 0 ? STALE_US : 0},
                               .tags = {value_tag(key), value_group(key)},
                               .acknowledged = st->shared->acknowledged[key],
                               .began_us = storm_clock_us(st)};
    r.cache_key = cache_key(st->scene.cache, value_key(key, r.name));
    return &r;
}

static void check(struct storm *st, const struct storm_request *r, const struct cache_entry *e)
{
    uint64_t version = value_version(r->key, e);
    if (version == VALUE_WRONG)
        storm_count(st, COUNT_mismatches);
    else if (version < r->acknowledged)
        storm_count(st, COUNT_stale);
}

/* Some consumers are slow, and some would take gzip. */
static void send(struct storm *st, const struct storm_request *r, struct cache_entry *e)
{
    check(st, r, e);
    if (storm_chance(8))
        cache_want_gzip(st->scene.cache, e);
    if (storm_chance(200)) {
        storm_sleep_us((int64_t)storm_random(HOLD_US_MOST));
        check(st, r, e);
    }
    cache_release(e);
}

bool storm_look(struct storm *st, struct storm_request *r, uint64_t born_seq)
{
    struct cache_entry e;
    if (cache_get(st->scene.cache, &r->cache_key, &r->rules, clock_mono_us(), &e) == CACHE_MISS)
        return false;
    bool enough = e.born_seq >= born_seq;
    if (enough)
        send(st, r, &e);
    else
        cache_release(&e);
    return enough;
}

uint64_t storm_read(struct storm *st, const struct storm_request *r)
{
    storm_count(st, COUNT_fetches);
    uint64_t version = st->shared->version[r->key];
    if (storm_chance(3))
        return version;
    storm_sleep_us(storm_chance(150) ? 3 * STORM_PATIENCE_US / 2 : (int64_t)storm_random(STORM_DATABASE_MS * 1000));
    return version;
}

bool storm_store(struct storm *st, const struct storm_request *r, uint64_t version, uint64_t born_seq)
{
    struct cache_entry e;
    value_fill(r->key, version, st->scene.room, &e);
    e.created_us = clock_mono_us();
    e.fresh_until_us = e.created_us + (int64_t)storm_random((r->key < HOT_KEYS ? HOT_TTL_MS_MOST : TTL_MS_MOST) * 1000);
    e.born_seq = MUTANT(born_late) ? tags_now(st->scene.tags) : born_seq;
    FAULT(fetch_read);
    bool stored = cache_put(st->scene.cache, &r->cache_key, &r->rules, &e, e.created_us);
    FAULT(fetch_stored);
    return stored;
}

static void request(struct storm *st, int key)
{
    struct storm_request *r = begin(st, key);
    if (storm_look(st, r, 0))
        storm_count(st, COUNT_hits);
    else
        storm_miss(st, r);
    if (storm_clock_us(st) - r->began_us > STORM_REQUEST_US)
        storm_count(st, COUNT_late);
}

/* ---- writes ---- */

static void acknowledge(struct storm *st, int key, uint64_t version)
{
    _Atomic uint64_t *acknowledged = &st->shared->acknowledged[key];
    for (uint64_t old = *acknowledged; old < version && !atomic_compare_exchange_weak(acknowledged, &old, version);) {
    }
}

static void database_works(void)
{
    if (storm_chance(4))
        storm_sleep_us((int64_t)storm_random(STORM_DATABASE_MS * 1000));
}

static void commit(struct storm *st, int key)
{
    const uint32_t tag = value_tag(key);
    board_write_begin(st->scene.shared.board, st->row);
    if (MUTANT(invalidate_first))
        tags_raise(st->scene.tags, &tag, 1);
    database_works();
    uint64_t version = ++st->shared->version[key];
    FAULT(write_committed);
    database_works(); /* its answer is on its way */
    if (!MUTANT(invalidate_first))
        tags_raise(st->scene.tags, &tag, 1);
    FAULT(write_raised);
    acknowledge(st, key, version);
    board_write_end(st->scene.shared.board, st->row);
    storm_count(st, COUNT_writes);
}

static void raise_epoch(struct storm *st)
{
    tags_raise_epoch(st->scene.tags);
    storm_count(st, COUNT_epochs);
}

/* Gets, whatever they find. */
static void browse(struct storm *st)
{
    for (int i = 0; i < BROWSED; i++)
        if (storm_look(st, begin(st, pick_key(st)), 0))
            storm_count(st, COUNT_hits);
}

static void fetch_alone(struct storm *st, int key)
{
    struct storm_request *r = begin(st, key);
    uint64_t born_seq = tags_now(st->scene.tags);
    storm_store(st, r, storm_read(st, r), born_seq);
}

/* ---- lives ---- */

static void operate(struct storm *st)
{
    int key = pick_key(st), what = (int)storm_random(IN_HUNDRED);
    if (what < GETS)
        request(st, key);
    else if ((what -= GETS) < WRITES)
        commit(st, key);
    else if ((what -= WRITES) < ALONE)
        fetch_alone(st, key);
    else if (what - ALONE < REFRESHES)
        storm_refresh(st, begin(st, key));
    else if (storm_chance(2000))
        raise_epoch(st);
    else
        browse(st);
    storm_count(st, COUNT_operations);
}

void storm_work(struct storm *st)
{
    for (;;) {
        operate(st);
        cache_tick(st->scene.cache, clock_mono_us());
    }
}

void storm_keep(struct storm *st)
{
    for (;;) {
        cache_keep(st->scene.cache, clock_mono_us());
        storm_sleep_us(KEEP_EVERY_US);
    }
}
