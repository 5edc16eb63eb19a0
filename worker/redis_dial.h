/* One attempt to connect to Redis or a Sentinel, off the loop where a name must be resolved. */
#ifndef WORKER_REDIS_DIAL_H
#define WORKER_REDIS_DIAL_H

#include "common/redis_url.h"

struct event_base;
struct redis_dial;

/* fd: connected, non-blocking and the callee's; -1: why says what failed. */
typedef void redis_dialed(void *arg, int fd, const char *why);

/* path: of a unix socket, or "": then host. attempt: of several addresses of a name, each number tries another one. The
 * callback comes from the loop, once, unless it is cancelled; the dial is gone then. There is no time-out. */
struct redis_dial *redis_dial_start(struct event_base *base, const char *path, const struct redis_host *host,
                                    unsigned attempt, redis_dialed *dialed, void *arg) MUST_USE;
void redis_dial_cancel(struct redis_dial **dial);

#endif
