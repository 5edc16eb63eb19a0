#include "worker/holdings.h"
#include "common/clock.h"
#include "shm/cache.h"
#include "shm/stats.h"

#include <stdlib.h>
#include <string.h>

/* A turn counts so many buckets, about five entries each, or this share of all: it takes 0.1 ms, and all of them 3 s of
 * the keeper's turns at most. */
enum { BUCKETS_LEAST = 128, TURNS = 150, OTHER_ROW = 0 };
#define TURN_US (20 * US_PER_MS)

struct version {
    uint64_t version;
    int row;
};

struct holdings {
    struct stats *stats;
    struct cache *cache;
    int slot;
    int version_count;
    struct version *versions; /* by version */
    int64_t next_us;
    uint32_t next; /* bucket */
    int rows;
    int64_t *entries, *bytes; /* by row, so far */
};

static int by_version(const void *a, const void *b)
{
    const struct version *one = a, *other = b;
    return one->version == other->version ? 0 : one->version < other->version ? -1 : 1;
}

static int row_of(const struct holdings *h, struct slice key)
{
    struct version wanted = {0, OTHER_ROW};
    if (key.len < sizeof wanted.version)
        return OTHER_ROW;
    memcpy(&wanted.version, key.at, sizeof wanted.version);
    const struct version *found = bsearch(&wanted, h->versions, (size_t)h->version_count, sizeof wanted, by_version);
    return found != NULL ? found->row : OTHER_ROW;
}

static void on_evicted(void *arg, struct slice key)
{
    const struct holdings *h = arg;
    stats_route_add(h->stats, h->slot, row_of(h, key), ROUTE_STAT_evicted, 1);
}

/* Of the configuration that came last, which may be a later one than this process began with. */
static void read_versions(struct holdings *h)
{
    h->rows = stats_routes(h->stats);
    h->version_count = 0;
    h->versions = xrealloc(h->versions, (size_t)h->rows * sizeof *h->versions);
    for (int row = OTHER_ROW + 1; row < h->rows; row++) {
        uint64_t version = stats_route_version(h->stats, row);
        if (version != 0)
            h->versions[h->version_count++] = (struct version){version, row};
    }
    qsort(h->versions, (size_t)h->version_count, sizeof *h->versions, by_version);
}

struct holdings *holdings_create(const struct worker_start *start)
{
    struct holdings *h = xcalloc(1, sizeof *h);
    h->stats = start->shared->stats;
    h->cache = start->shared->cache;
    h->slot = start->slot;
    read_versions(h);
    cache_on_evicted(h->cache, on_evicted, h);
    return h;
}

/* ---- the keeper's ---- */

static bool count(void *arg, const struct cache_seen *item)
{
    struct holdings *h = arg;
    int row = row_of(h, item->key);
    h->entries[row]++;
    h->bytes[row] += (int64_t)item->bytes;
    return false;
}

static void begin(struct holdings *h)
{
    read_versions(h);
    free(h->entries);
    free(h->bytes);
    h->entries = xcalloc((size_t)h->rows, sizeof *h->entries);
    h->bytes = xcalloc((size_t)h->rows, sizeof *h->bytes);
}

static void tell(const struct holdings *h)
{
    for (int row = 0; row < h->rows; row++) {
        stats_route_set(h->stats, h->slot, row, ROUTE_STAT_entries, h->entries[row]);
        stats_route_set(h->stats, h->slot, row, ROUTE_STAT_kept_bytes, h->bytes[row]);
    }
}

void holdings_step(struct holdings *h, int64_t now_us)
{
    if (now_us < h->next_us)
        return;
    h->next_us = now_us + TURN_US;
    if (h->next == 0)
        begin(h);
    h->next = cache_walk(h->cache, h->next, MAX(cache_buckets(h->cache) / TURNS, (uint32_t)BUCKETS_LEAST), count, h);
    if (h->next == 0)
        tell(h);
}
