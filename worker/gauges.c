#include "worker/gauges.h"
#include "common/clock.h"
#include "shm/cache.h"
#include "sql/replicas.h"
#include "worker/offload.h"
#include "worker/park.h"
#include "worker/permit.h"
#include "worker/upstream.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void set(struct service *s, enum metric stat, int64_t value)
{
    stats_set(s->stats, s->slot, stat, value);
}

/* With each beat: at a reload two workers have the slot for a while, and the one that stays writes last. */
static void write_identity(struct service *s)
{
    static int64_t started_us;
    if (started_us == 0)
        started_us = clock_wall_us();
    set(s, STAT_pid, getpid());
    set(s, STAT_generation, s->start->generation);
    set(s, STAT_started_us, started_us);
}

static void write_process(struct service *s)
{
    struct rusage usage;
    long pages = 0;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        set(s, STAT_cpu_us,
            (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S + usage.ru_utime.tv_usec +
                usage.ru_stime.tv_usec);
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL)
        return;
    if (fscanf(statm, "%*d %ld", &pages) == 1)
        set(s, STAT_resident_bytes, pages * sysconf(_SC_PAGESIZE));
    fclose(statm);
}

/* The statistics of a pool, or of several together. */
#define POOL_STATS(STAT)                                                                                               \
    STAT(queries)                                                                                                      \
    STAT(pipelined)                                                                                                    \
    STAT(repeated)                                                                                                     \
    STAT(errors)                                                                                                       \
    STAT(timeouts)                                                                                                     \
    STAT(cancelled)                                                                                                    \
    STAT(rejected)                                                                                                     \
    STAT(opened)                                                                                                       \
    STAT(closed)
#define POOL_GAUGES(GAUGE)                                                                                             \
    GAUGE(active)                                                                                                      \
    GAUGE(idle)                                                                                                        \
    GAUGE(connecting)                                                                                                  \
    GAUGE(waiting)                                                                                                     \
    GAUGE(max_wait_us)

#define SET_POOL(name) set(s, STAT_pool_##name, m.name);
#define SET_REPLICA(name) set(s, STAT_replica_##name, m.pools.name);
#define ADD_POOL(name) stats_add(s->stats, s->slot, STAT_pool_##name, (int64_t)(now.name - before.name));
#define ADD_REPLICA(name)                                                                                              \
    stats_add(s->stats, s->slot, STAT_replica_##name, (int64_t)(now.pools.name - before.pools.name));

static void write_pool(struct service *s)
{
    struct pool_metrics m = {0};
    if (s->pool != NULL)
        pool_metrics(s->pool, &m);
    set(s, STAT_pool_max, m.max);
    POOL_GAUGES(SET_POOL)
}

static void write_replicas(struct service *s)
{
    struct replicas_metrics m = {0};
    if (s->replicas != NULL)
        replicas_metrics(s->replicas, &m);
    set(s, STAT_replicas, m.count);
    set(s, STAT_replicas_usable, m.usable);
    set(s, STAT_replica_lag_us, m.lag_us);
    set(s, STAT_replica_max, m.max);
    POOL_GAUGES(SET_REPLICA)
}

/* The pools count for themselves; what came since the last time is added, since the slot outlives the worker. */
static void add_pool_counts(struct service *s)
{
    static struct pool_metrics before;
    struct pool_metrics now;
    if (s->pool == NULL)
        return;
    pool_metrics(s->pool, &now);
    POOL_STATS(ADD_POOL)
    before = now;
}

static void add_replica_counts(struct service *s)
{
    static struct replicas_metrics before;
    struct replicas_metrics now;
    if (s->replicas == NULL)
        return;
    replicas_metrics(s->replicas, &now);
    POOL_STATS(ADD_REPLICA)
    before = now;
}

static void write_upstreams(struct service *s)
{
    struct upstream_metrics sum = {0};
    int open = 0;
    for (int i = 0; i < s->conf->upstream_count; i++) {
        struct upstream_metrics m;
        upstream_metrics(s->upstreams[i], &m);
        sum.active += m.active;
        sum.idle += m.idle;
        sum.waiting += m.waiting;
        open += m.open;
    }
    set(s, STAT_upstream_active, sum.active);
    set(s, STAT_upstream_idle, sum.idle);
    set(s, STAT_upstream_waiting, sum.waiting);
    set(s, STAT_upstream_open, open);
}

static void write_cache(struct service *s)
{
    struct cache_usage usage;
    cache_usage(s->shared->cache, &usage);
    set(s, STAT_cache_entries, (int64_t)usage.entries);
    set(s, STAT_cache_entries_max, (int64_t)usage.entries_max);
    set(s, STAT_cache_used_bytes, (int64_t)usage.used_bytes);
    set(s, STAT_cache_size_bytes, (int64_t)usage.size_bytes);
    set(s, STAT_cache_evicted, (int64_t)usage.evicted);
    set(s, STAT_cache_expired, (int64_t)usage.expired);
    set(s, STAT_cache_promoted, (int64_t)usage.promoted);
    set(s, STAT_cache_compressed, (int64_t)usage.compressed);
    set(s, STAT_cache_segments, (int64_t)usage.segments);
    set(s, STAT_cache_segments_free, (int64_t)usage.segments_free);
    set(s, STAT_cache_segments_limbo, (int64_t)usage.segments_limbo);
    set(s, STAT_cache_recovered, (int64_t)usage.recovered);
    set(s, STAT_cache_waiting, park_count(s->park));
    set(s, STAT_permits_held, permit_held(s->permit_desk));
    set(s, STAT_permits_waiting, permit_waiting(s->permit_desk));
}

static void write_offload(struct service *s)
{
    static uint64_t before;
    if (s->offload == NULL)
        return;
    uint64_t now = offload_refused(s->offload);
    stats_add(s->stats, s->slot, STAT_offload_refused, (int64_t)(now - before));
    before = now;
    set(s, STAT_offload_active, offload_active(s->offload));
}

void gauges_write(struct service *s, int connections, enum proc_state state)
{
    board_beat(s->shared->board, s->proc, clock_mono_us());
    add_pool_counts(s);
    add_replica_counts(s);
    if (s->draining)
        return; /* the slot's gauges are the successor's by now */
    write_identity(s);
    set(s, STAT_beat_us, clock_wall_us());
    set(s, STAT_state, state);
    set(s, STAT_in_flight, s->in_flight);
    set(s, STAT_accepts_for, s->accepts_for);
    set(s, STAT_connections, connections);
    write_process(s);
    write_pool(s);
    write_replicas(s);
    write_upstreams(s);
    write_cache(s);
    write_offload(s);
}
