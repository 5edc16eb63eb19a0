/* The cache that all workers share. A value is a finished answer. Nothing here ever waits longer than 2 ms for another
 * process: what cannot be had by then is a miss, or is not stored. */
#ifndef SHM_CACHE_H
#define SHM_CACHE_H

#include "common/err.h"
#include "common/slice.h"
#include "shm/tags.h"

enum { CACHE_TAGS_MAX = 8 };

struct cache;

struct cache_entry {
    struct slice body;                          /* valid until cache_release() */
    int64_t created_us, fresh_until_us, tti_us; /* CLOCK_MONOTONIC; tti_us 0: none */
    uint64_t born_seq;
    uint32_t tag_slots[CACHE_TAGS_MAX];
    int tag_count;
    int status;
    char etag[36];         /* with its quotes, NUL-terminated */
    char content_type[48]; /* NUL-terminated */
    void *hold;            /* the cache's own */
};

/* Before the first fork. Sizes count all: size_bytes of memory, at most `entries` entries (to the stripe). */
struct cache *cache_create(int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err) MUST_USE;
void cache_destroy(struct cache **cache);              /* this process's mapping */
size_t cache_largest_bytes(const struct cache *cache); /* of a key and body together */

/* Borrow the live entry for key until cache_release(). False is a miss, and so is an entry whose ttl or tti has passed
 * at now_us or one of whose tags was raised after its born_seq. The whole key is compared. */
bool cache_get(struct cache *cache, struct slice key, int64_t now_us, struct cache_entry *entry_out) MUST_USE;
void cache_release(struct cache_entry *entry);

/* Store, replacing what key had. False when it does not fit (over the largest object) or a lock could not be had. */
bool cache_put(struct cache *cache, struct slice key, const struct cache_entry *entry, int64_t now_us);

struct cache_usage {
    uint64_t entries, entries_max;
    uint64_t used_bytes, size_bytes;
    uint64_t evicted, expired, recovered; /* recovered: stripes emptied because their holder died */
};
void cache_usage(struct cache *cache, struct cache_usage *usage_out);

#endif
