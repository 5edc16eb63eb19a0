/* The second cache: Redis, shared by machines and kept over restarts. It is help and never a reason to fail: each
 * command has its time-out, a server that does not answer is left alone for a while, and whoever waits is told "off".
 *
 * Keys: PREFIX:FORMAT:e:HASH an answer's envelope (envelope.h has the format, so that no other version of perfd reads
 * it); PREFIX:t:SLOT a tag's version; PREFIX:epoch the version of everything; all versions of perfd share these, and
 * the channel PREFIX:changes (redis_message.h). A version is a random number; raising it means another one, or none, so
 * that whatever Redis evicts or forgets, an old one never comes back. An answer is stored with the versions that were
 * read before its query began, and is taken only while they are still the same.
 *
 * A server that comes back with an old file, or was a replica, may hold old answers with their old versions. So the
 * epoch is raised on each run of a server before anything is read from it (tags_redis_clean()). */
#ifndef WORKER_REDIS_H
#define WORKER_REDIS_H

#include "shm/cache.h"
#include "worker/service.h"

struct redis;

enum redis_found { REDIS_HIT, REDIS_MISS, REDIS_OFF };

struct redis_versions {
    bool known;                      /* all of them: what is fetched now may be stored with them */
    uint64_t at[1 + CACHE_TAGS_MAX]; /* the epoch, then the tags' */
};

struct redis_key {
    struct slice key; /* the cache's */
    const uint32_t *tag_slots;
    int tag_count;
};

/* entry: on REDIS_HIT, valid during the call; its times are of this machine's monotonic clock. */
typedef void redis_looked(void *arg, enum redis_found found, const struct redis_versions *versions,
                          const struct cache_entry *entry);

struct redis *redis_create(struct service *service) MUST_USE;

/* False: it is down, or what it has may be old, and nobody is called. Else the callback comes from the loop, exactly
 * once; key->key and tag_slots must live until then. */
bool redis_look(struct redis *redis, const struct redis_key *key, redis_looked *looked, void *arg) MUST_USE;
/* Stores for as long as the entry is fresh. Nobody waits for it. */
void redis_store(struct redis *redis, const struct redis_key *key, const struct redis_versions *versions,
                 const struct cache_entry *entry, int64_t now_us);
/* Raises the versions; done comes from the loop when Redis knows, or when it could not be told, which is then owed.
 * tells: other machines' perfds are told, too. */
void redis_invalidate(struct redis *redis, const uint32_t *slots, int count, bool tells, void (*done)(void *arg),
                      void *arg);
/* To all perfds that share this Redis. False: it is down. */
bool redis_say(struct redis *redis, const char *message);
/* What is owed was paid, or Redis does not answer: there is nothing to wait for at the start. */
bool redis_settled(const struct redis *redis);
/* Now and then: pays what is owed. */
void redis_tick(struct redis *redis);

#endif
