/* An answer as bytes in Redis: a fixed part with a checksum over all, times, versions, lengths and etag, then key,
 * notes, header fields and body. Whatever else comes from there is not an envelope. */
#ifndef WORKER_ENVELOPE_H
#define WORKER_ENVELOPE_H

#include "common/buf.h"
#include "worker/redis.h"

/* Stands in the key too. Another one for each change of what an envelope looks like, or of the bytes that the same
 * route and parameters give in this version of perfd. */
enum { ENVELOPE_FORMAT = 2 };

size_t envelope_bytes(const struct redis_key *key, const struct cache_entry *entry);
void envelope_write(struct buf *out, const struct redis_key *key, const struct redis_versions *versions,
                    const struct cache_entry *entry, int64_t now_us, int64_t wall_us);
/* False: damaged, of another key, of other versions, or its time is over. entry_out borrows from bytes. */
bool envelope_read(struct slice bytes, const struct redis_key *key, const struct redis_versions *versions,
                   struct cache_entry *entry_out, int64_t now_us, int64_t wall_us) MUST_USE;

#endif
