/* Changes that others make to the data, as the database's notifications tell of them: the tags that they name are
 * dropped, here and in Redis, and it is kept in shared memory until when all has been heard (tags_heard_us()), which
 * caps the lives of what is cached while nothing is. The keeper's. */
#ifndef WORKER_CHANGES_H
#define WORKER_CHANGES_H

#include "worker/worker.h"

struct event_base;
struct changes;

/* NULL: the configuration has no listener. */
struct changes *changes_create(const struct worker_start *start, struct event_base *base) MUST_USE;
/* What it reads of the configuration is the same in both. */
bool changes_alike(const struct conf *one, const struct conf *other);

#endif
