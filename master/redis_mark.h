/* run_dir/redis.clean: left by a perfd that ended with nothing owed to Redis, and naming that Redis and its run. With
 * any other mark what stands there may be older than a write that this perfd, or the one before, acknowledged, and
 * others may not have heard of it. Without one there was no perfd here; but what Redis itself may have forgotten is not
 * known either. So only with the right one it is read before its epoch has been raised. */
#ifndef MASTER_REDIS_MARK_H
#define MASTER_REDIS_MARK_H

#include "common/conf.h"

struct tags;

uint64_t redis_mark_name(const struct conf *conf);                 /* which Redis: tags_redis() */
void redis_mark_take(const struct conf *conf, struct tags *tags);  /* at the start */
void redis_mark_leave(const struct conf *conf, struct tags *tags); /* at the end, when no worker is left */

#endif
