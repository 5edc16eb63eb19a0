/* What perfds that share a Redis tell each other, heard on a connection of its own. Each also says something to itself
 * every so often: Redis passes messages on in their order, so when that comes back, all that was said before has been
 * heard; and by it the others know of each other. The keeper's. */
#ifndef WORKER_REDIS_NEWS_H
#define WORKER_REDIS_NEWS_H

#include "worker/redis.h"

struct redis_news;

/* From the loop. */
struct redis_news_events {
    void (*joined)(void *arg, int64_t since_us); /* what is said from then on (CLOCK_MONOTONIC) will be heard */
    void (*others)(void *arg);                   /* another perfd was heard, for the first time */
    void (*dropped)(void *arg, const uint32_t *slots, int count); /* by another one; slots NULL: everything */
    void (*heard)(void *arg, int64_t until_us);                   /* all that was said before has been told */
    void (*lost)(void *arg); /* nothing is heard any more, or could be at the start */
};

/* redis: to speak. */
struct redis_news *redis_news_create(struct service *service, struct redis *redis, int64_t beat_us,
                                     const struct redis_news_events *events, void *arg) MUST_USE;

#endif
