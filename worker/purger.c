#include "worker/purger.h"
#include "shm/cache.h"
#include "shm/purge.h"
#include "shm/stats.h"
#include "worker/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct purger {
    const struct worker_start *start;
    struct redis *redis;
    bool under_way;
    struct purge_order order;
    struct purge_result result;
};

static bool drops(const struct purge_order *order, const struct cache_seen *item)
{
    if (order->kind == PURGE_ALL)
        return true;
    for (int i = 0; i < item->tag_count; i++)
        if (item->tag_slots[i] == order->slot)
            return true;
    return false;
}

static bool sweep(void *arg, const struct cache_seen *item)
{
    struct purger *p = arg;
    if (!drops(&p->order, item))
        return false;
    p->result.entries++;
    p->result.bytes += item->bytes;
    return true;
}

static void finish(struct purger *p)
{
    const uint64_t one = 1;
    struct shared *shared = p->start->shared;
    (void)cache_walk(shared->cache, 0, UINT32_MAX, sweep, p);
    purge_done(shared->purge, p->order.number, &p->result);
    p->under_way = false;
    ssize_t told = write(shared->master_fd, &one, sizeof one);
    (void)told; /* when it is full the master is about to look anyway */
}

/* A fetch that begins after the tag was raised here must not find the old answer there. */
static void redis_told(void *arg)
{
    struct purger *p = arg;
    struct shared *shared = p->start->shared;
    tags_raise(shared->tags, &p->order.slot, 1);
    stats_add(shared->stats, p->start->slot, STAT_invalidations, 1);
    finish(p);
}

static void drop_tag(struct purger *p)
{
    if (p->redis != NULL) {
        redis_invalidate(p->redis, &p->order.slot, 1, true, redis_told, p);
        return;
    }
    if (p->start->conf->redis.set)
        tags_owe_redis(p->start->shared->tags);
    redis_told(p);
}

static void drop_all(struct purger *p)
{
    shared_doubt(p->start->shared);
    if (p->redis != NULL)
        redis_tick(p->redis);
    finish(p);
}

struct purger *purger_create(const struct worker_start *start, struct redis *redis)
{
    struct purger *p = xcalloc(1, sizeof *p);
    p->start = start;
    p->redis = redis;
    return p;
}

void purger_step(struct purger *p)
{
    if (p->under_way || !purge_asked(p->start->shared->purge, &p->order))
        return;
    p->under_way = true;
    p->result = (struct purge_result){0};
    switch (p->order.kind) {
    case PURGE_TAG:
    case PURGE_ROUTE:
        drop_tag(p);
        return;
    case PURGE_ALL:
        drop_all(p);
        return;
    }
    CHECK(!"no such kind");
}
