/* What the parts of one worker process share: the configuration, shared memory, the loop and its clients. */
#ifndef WORKER_SERVICE_H
#define WORKER_SERVICE_H

#include "shm/stats.h"
#include "worker/worker.h"

struct event_base;
struct pool;
struct replicas;
struct redis;
struct router;
struct route;
struct access_log;
struct upstream;
struct park;
struct permit_desk;
struct recall;
struct offload;
struct holdings;

struct service {
    const struct worker_start *start;
    const struct conf *conf;
    struct shared *shared;
    struct stats *stats;
    int slot, proc;
    struct event_base *base;
    struct pool *pool;           /* NULL: no database is configured */
    struct replicas *replicas;   /* NULL: none are configured */
    struct redis *redis;         /* NULL: no Redis is configured */
    struct upstream **upstreams; /* conf->upstreams[i] at work */
    struct router *router;
    struct route *routes; /* conf->routes[i] at work */
    struct access_log *access_log;
    struct holdings *holdings; /* of the routes in the cache */
    struct park *park;
    struct offload *offload; /* NULL: none is wanted */
    struct permit_desk *permit_desk;
    struct arena *hit_arena; /* of the request that is answered at once, if it can be */
    struct recall *recall;   /* of targets that were answered so */
    int in_flight;           /* requests between their first byte and their answer */
    int accepts_for;         /* slots */
    bool described;          /* every route was tried once: the worker may say that it is ready */
    bool draining;
    void (*woken)(struct service *service); /* another process changed what this one looks at; NULL: nothing to do */
};

static inline void service_count(struct service *s, enum metric stat)
{
    stats_add(s->stats, s->slot, stat, 1);
}

#endif
