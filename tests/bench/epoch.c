/* A purge of everything: how long it takes to drop entries of a million different tags, and that all are gone.
 *
 *     build/release/tests/bench/epoch [ENTRIES [SIZE_MB]]
 *
 * Each entry has a tag slot of its own. One store of the epoch drops them all; nothing is searched. Exits with 1 when
 * one of them is still to be had. */
#include "common/clock.h"
#include "shm/cache.h"
#include "shm/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fill(struct cache *cache, struct control *control, uint32_t entries)
{
    static const struct cache_rules rules = {0};
    for (uint32_t i = 0; i < entries; i++) {
        const struct cache_key key = cache_key(cache, slice_of((const char *)&i, sizeof i));
        const struct cache_entry entry = {.body = slice_str("{\"id\": 1}"),
                                          .fresh_until_us = INT64_MAX / 2,
                                          .born_seq = tags_now(control->tags),
                                          .tag_slots = {i},
                                          .tag_count = 1,
                                          .status = 200,
                                          .etag = "\"0123456789abcdef0123456789abcdef\""};
        cache_put(cache, &key, &rules, &entry, i);
    }
}

static uint32_t count(struct cache *cache, uint32_t entries)
{
    static const struct cache_rules rules = {0};
    uint32_t found = 0;
    struct cache_entry entry;
    for (uint32_t i = 0; i < entries; i++) {
        const struct cache_key key = cache_key(cache, slice_of((const char *)&i, sizeof i));
        if (cache_get(cache, &key, &rules, entries, &entry) == CACHE_MISS)
            continue;
        found++;
        cache_release(&entry);
    }
    return found;
}

int main(int argc, char **argv)
{
    uint32_t entries = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    int64_t size_mb = argc > 2 ? atoll(argv[2]) : 512;
    struct control control;
    struct err err;
    struct cache *cache =
        control_create(&control, &err) ? cache_create(size_mb << 20, entries + entries / 8, control.tags, &err) : NULL;
    if (cache == NULL || entries == 0) {
        fprintf(stderr, "epoch: %s\n", cache ? "usage: epoch [ENTRIES [SIZE_MB]]" : err.text);
        return cache ? 64 : 1;
    }
    fill(cache, &control, entries);
    uint32_t before = count(cache, entries);
    int64_t start_ns = now_ns();
    tags_raise_epoch(control.tags);
    int64_t took_ns = now_ns() - start_ns;
    uint32_t after = count(cache, entries);
    printf("%" PRIu32 " entries of as many tags before, %" PRIu32 " after one store of the epoch, which took %" PRId64
           " ns\n",
           before, after, took_ns);
    return after == 0 ? 0 : 1;
}
