/* Changes that others make to the data: the database's notifications tell of them, and other machines' perfds tell
 * through Redis what they drop. The tags that are named are dropped, here and, where the database told, in Redis. It is
 * kept in shared memory until when all has been heard (tags_heard_us()), which caps the lives of what is cached while
 * nothing is. Where somebody notifies, that is the database's word alone; else, where there are other perfds, Redis's.
 * The keeper's. */
#ifndef WORKER_CHANGES_H
#define WORKER_CHANGES_H

#include "worker/worker.h"

struct event_base;
struct changes;
struct redis;

/* NULL: the configuration listens to neither. */
struct changes *changes_create(const struct worker_start *start, struct event_base *base) MUST_USE;
struct redis *changes_redis(const struct changes *changes); /* NULL: none is configured */
/* What it reads of the configuration is the same in both. */
bool changes_alike(const struct conf *one, const struct conf *other);

#endif
