/* The second cache as the files that it is made of see it, and nobody else:
 *
 *   redis.c       connections, what is dropped, what is owed
 *   redis_look.c  what is looked up and stored */
#ifndef WORKER_REDIS_STATE_H
#define WORKER_REDIS_STATE_H

#include "shm/tags.h"
#include "worker/redis.h"
#include "worker/redis_link.h"

enum { REDIS_LINKS_MAX = 16, REDIS_KEY_BYTES = 160 };

struct redis {
    struct service *service;
    struct tags *tags;
    const char *prefix;
    size_t value_max_bytes;
    struct redis_link *links[REDIS_LINKS_MAX];
    int link_count;
    unsigned turn; /* which of the links is next */
    bool paying, tripping, complained;
    char channel[REDIS_KEY_BYTES];
    char choked_on[REDIS_KEY_BYTES]; /* a key whose value was too long to be read; "" when there is none */
    struct buf envelope, message;    /* kept for their memory */
};

/* Versions are only compared for equality, so a new random one can never bring an old answer back. */
uint64_t redis_new_version(void);
/* i: 0 the epoch, then the slots'. */
void redis_version_key(const struct redis *redis, int i, const uint32_t *slots, char key[static REDIS_KEY_BYTES]);
/* Where perfds that share the Redis tell each other. */
void redis_channel(const struct conf *conf, char channel[static REDIS_KEY_BYTES]);
/* One that is up, another one each time; NULL: none. */
struct redis_link *redis_pick(struct redis *redis);
/* The same, and nothing is owed to its server: what stands there may be read. */
struct redis_link *redis_pick_clean(struct redis *redis);
/* An answer that is an error or none; counts it, and an admin hears of it once. */
bool redis_failed(struct redis *redis, const redisReply *reply);

#endif
