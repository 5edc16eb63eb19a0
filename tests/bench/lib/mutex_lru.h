/* What the benchmark measures the cache against: the usual way to share one. 64 stripes, each a hash table with chains
 * and an exact LRU list behind one robust process-shared mutex, in shared memory of the same kind.
 *
 * It serves what the cache serves: the body with its status, header fields and entity tag, and only while no tag was
 * raised after it was fetched. Else it is made to be fast: slots of one size, values overwritten in place. The number
 * of entries is a limit for all stripes together; a stripe that finds no slot left drops its own oldest entry. */
#ifndef BENCH_MUTEX_LRU_H
#define BENCH_MUTEX_LRU_H

#include "common/err.h"
#include "shm/cache.h"

enum { MUTEX_LRU_KEY_BYTES_MAX = 64, MUTEX_LRU_HEAD_BYTES_MAX = 48 };

struct mutex_lru;

/* Before the first fork. */
struct mutex_lru *mutex_lru_create(uint32_t entries, size_t body_bytes_max, struct tags *tags,
                                   struct err *err) MUST_USE;
void mutex_lru_destroy(struct mutex_lru **lru); /* this process's mapping */

/* All is copied while the lock is held: body and header fields to body_out, which has room for both, the rest to
 * entry_out. False: not there, its ttl is over at now_us, or its tag was raised. */
bool mutex_lru_get(struct mutex_lru *lru, const struct cache_key *key, int64_t now_us, char *body_out,
                   struct cache_entry *entry_out) MUST_USE;
/* False: too large, or the stripe has no entry to drop. */
bool mutex_lru_put(struct mutex_lru *lru, const struct cache_key *key, const struct cache_entry *entry) MUST_USE;
bool mutex_lru_drop(struct mutex_lru *lru, const struct cache_key *key) MUST_USE; /* false: it was not there */

#endif
