/* What targets were found to mean, by their bytes: the route that they lead to and the cache's key. A consumer that
 * asks for what was asked for before is answered without its target being taken apart again. What is kept never turns
 * wrong: routes and the types of their parameters stay as they are for as long as a worker lives. */
#ifndef WORKER_RECALL_H
#define WORKER_RECALL_H

#include "shm/cache.h"

struct recall;
struct route;
struct router_place;

struct recalled {
    struct route *route;
    const struct router_place *place;
    struct cache_key key;
};

struct recall *recall_create(void) MUST_USE;
void recall_destroy(struct recall **recall);
/* The key's bytes are recall's until the next recall_keep(). */
bool recall_find(const struct recall *recall, struct slice target, struct recalled *out) MUST_USE;
/* In place of another target, it may be; long ones are not kept. */
void recall_keep(struct recall *recall, struct slice target, const struct recalled *what);

#endif
