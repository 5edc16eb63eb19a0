/* The connection to Redis, and the only place that knows hiredis: commands with a time-out each (hiredis has none), a
 * server that failed is probed in the background, and until it answers again every command fails at once. */
#ifndef WORKER_REDIS_LINK_H
#define WORKER_REDIS_LINK_H

#include "common/conf.h"

#include <hiredis/hiredis.h>

struct event_base;
struct redis_link;

/* reply is NULL when the command failed, timed out or was not sent; it is hiredis's and goes after the call. */
typedef void redis_replied(void *arg, const redisReply *reply);

/* up() is called from the loop each time that the server begins to answer. */
struct redis_link *redis_link_create(struct event_base *base, const struct conf *conf, void (*up)(void *arg),
                                     void *arg) MUST_USE;
void redis_link_destroy(struct redis_link **link);
bool redis_link_up(const struct redis_link *link);
bool redis_link_tried(const struct redis_link *link); /* it answers, or an attempt has failed */
/* The callback comes from the loop, exactly once; it may be NULL. The arguments are copied. */
void redis_link_send(struct redis_link *link, int argc, const char **argv, const size_t *lens, redis_replied *replied,
                     void *arg);

#endif
