#include "worker/worker.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/cache.h"
#include "shm/doing.h"
#include "shm/tags.h"
#include "sql/pool.h"
#include "sql/replicas.h"
#include "worker/access_log.h"
#include "worker/child.h"
#include "worker/doors.h"
#include "worker/event_words.h"
#include "worker/gauges.h"
#include "worker/holdings.h"
#include "worker/offload.h"
#include "worker/park.h"
#include "worker/permit.h"
#include "worker/pulse.h"
#include "worker/recall.h"
#include "worker/redis.h"
#include "worker/router.h"
#include "worker/slow_query.h"
#include "worker/upstream.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT_US (250 * US_PER_MS)
#define SETTLE_US (300 * US_PER_MS)
#define SETTLE_STEP_US (5 * US_PER_MS)
#define DRAIN_STEP_US (50 * US_PER_MS)

struct worker {
    struct service service;
    struct doors *doors;
    struct child child;
    struct pulse *pulse;
    struct event beat, drain, settle;
    int64_t settle_until_us;
    int64_t drain_until_us;
};

static struct worker *worker_of(struct service *s)
{
    return (struct worker *)(void *)((char *)s - offsetof(struct worker, service));
}

static enum proc_state state_of(const struct worker *w)
{
    return w->service.draining ? PROC_DRAINING : w->service.described ? PROC_READY : PROC_STARTING;
}

/* The master looks at the board when this is raised. */
static void tell_master(struct worker *w)
{
    const uint64_t one = 1;
    struct service *s = &w->service;
    board_set_state(s->shared->board, s->proc, state_of(w));
    if (write(s->shared->master_fd, &one, sizeof one) != sizeof one && errno != EAGAIN)
        log_error("the master cannot be told: %s", strerror(errno));
}

static void on_woken(struct service *s)
{
    doors_look(worker_of(s)->doors);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    doing_word before = doing_swap(DOING_beat);
    event_words_started();
    stats_set(w->service.stats, w->service.slot, STAT_cache_lent, doors_lent(w->doors));
    gauges_write(&w->service, doors_connections(w->doors), state_of(w));
    int64_t now_us = clock_mono_us();
    cache_tick(w->service.shared->cache, now_us);
    doors_tick(w->doors, now_us);
    if (w->service.redis != NULL)
        redis_tick(w->service.redis);
    doing_swap(before);
}

/* ---- ending ---- */

static void on_drain_step(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    int64_t now_us = clock_mono_us();
    int left = doors_drain_step(w->doors, now_us) + w->service.in_flight;
    if (left > 0 && now_us < w->drain_until_us)
        return;
    if (left > 0)
        log_warn("%d connections and requests are left at shutdown_timeout", left);
    event_base_loopbreak(w->service.base);
}

static void drain(struct worker *w, const char *why)
{
    struct service *s = &w->service;
    if (s->draining)
        return;
    log_info("draining: %s", why);
    gauges_write(s, doors_connections(w->doors), PROC_DRAINING);
    s->draining = true;
    w->drain_until_us = clock_mono_us() + s->conf->shutdown_timeout_us;
    doors_drain(w->doors);
    if (s->pool != NULL)
        pool_drain(s->pool);
    if (s->replicas != NULL)
        replicas_drain(s->replicas);
    for (int i = 0; i < s->conf->upstream_count; i++)
        upstream_drain(s->upstreams[i]);
    tell_master(w);
    child_every(&w->drain, DRAIN_STEP_US);
}

static void asked(void *arg, enum child_asked what)
{
    struct worker *w = arg;
    switch (what) {
    case CHILD_END:
        event_base_loopbreak(w->service.base);
        return;
    case CHILD_DRAIN:
        drain(w, "asked to");
        return;
    case CHILD_ORPHANED:
        drain(w, "the master is gone");
        return;
    case CHILD_REOPEN:
        access_log_reopen(w->service.access_log);
        return;
    }
}

/* ---- starting ---- */

static void observe_pool(void *arg, const struct pool_work *work, const struct pool_outcome *outcome, bool gone)
{
    struct service *s = arg;
    slow_query_note(s, work, outcome, gone);
    if (gone)
        return;
    stats_observe(s->stats, s->slot, HIST_pool_wait, outcome->wait_us);
    stats_observe(s->stats, s->slot, HIST_database, outcome->run_us);
}

static void settle(evutil_socket_t fd, short what, void *arg);

static bool is_settled(const struct service *s)
{
    bool listens = conf_listens_to_database(s->conf) || conf_listens_to_redis(s->conf);
    return (s->redis == NULL || redis_settled(s->redis)) && (!listens || tags_listen_tried(s->shared->tags));
}

static void observe_offload(void *arg, enum offload_kind kind, int64_t wait_us, int64_t run_us)
{
    static const enum metric counts[OFFLOAD_KINDS] = {STAT_offload_tls, STAT_offload_json, STAT_offload_gzip,
                                                      STAT_offload_stats};
    struct service *s = arg;
    service_count(s, counts[kind]);
    stats_observe(s->stats, s->slot, HIST_offload_wait, wait_us);
    stats_observe(s->stats, s->slot, HIST_offload_run, run_us);
}

static void start_offload(struct service *s)
{
    const struct offload_settings settings = {s->conf->offload_threads, s->conf->offload_queue, observe_offload, s};
    s->offload = s->conf->offload ? offload_create(s->base, &settings) : NULL;
    if (s->conf->offload && s->offload == NULL)
        log_warn("no thread can be started for work that would block the loop; it is done there");
}

/* The first requests shall find Redis in use, and what they store shall not be dropped because the listener comes. */
static void on_all_described(struct service *s)
{
    struct worker *w = worker_of(s);
    w->settle_until_us = clock_mono_us() + SETTLE_US;
    settle(-1, 0, w);
}

static void settle(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    struct service *s = &w->service;
    if (!is_settled(s) && clock_mono_us() < w->settle_until_us) {
        child_every(&w->settle, SETTLE_STEP_US);
        return;
    }
    s->described = true;
    doors_look(w->doors);
    tell_master(w);
    gauges_write(s, doors_connections(w->doors), state_of(w));
}

static bool open_upstreams(struct service *s, struct err *err)
{
    int count = s->conf->upstream_count;
    s->upstreams = xcalloc((size_t)MAX(count, 1), sizeof(struct upstream *));
    for (int i = 0; i < count; i++)
        if ((s->upstreams[i] = upstream_create(s, &s->conf->upstreams[i], err)) == NULL)
            return false;
    return true;
}

static bool service_init(struct service *s, const struct worker_start *start, struct err *err)
{
    s->start = start;
    s->conf = start->conf;
    s->shared = start->shared;
    s->stats = start->shared->stats;
    s->slot = start->slot;
    s->proc = start->proc;
    s->base = child_base();
    cache_attach(s->shared->cache, s->proc);
    s->holdings = holdings_create(start);
    doing_attach(s->shared->board, s->proc);
    start_offload(s);
    s->access_log = access_log_create(s, err);
    if (s->access_log == NULL)
        return false;
    if (s->conf->database.set)
        s->pool = pool_create(s->base, s->conf, observe_pool, s);
    if (s->pool != NULL && s->slot > 0)
        pool_hush(s->pool);
    if (s->conf->database.replica_url != NULL)
        s->replicas = replicas_create(s->base, s->conf, s->pool, s->shared->tags, observe_pool, s);
    if (s->conf->redis.set)
        s->redis = redis_create(s);
    if (!open_upstreams(s, err))
        return false;
    s->routes = routes_create(s);
    s->router = router_create(s->routes, s->conf->route_count);
    s->park = park_create(s);
    s->permit_desk = permit_desk_create(s);
    s->hit_arena = arena_create();
    s->recall = recall_create();
    return true;
}

static bool worker_init(struct worker *w, const struct worker_start *start, struct err *err)
{
    struct service *s = &w->service;
    if (!service_init(s, start, err))
        return false;
    w->doors = doors_create(s, err);
    if (w->doors == NULL)
        return false;
    s->woken = on_woken;
    w->pulse = pulse_create(s);
    if (w->pulse == NULL)
        return err_set(err, "cannot make a timer: %s", strerror(errno));
    event_assign(&w->beat, s->base, -1, EV_PERSIST, on_beat, w);
    event_assign(&w->drain, s->base, -1, EV_PERSIST, on_drain_step, w);
    event_assign(&w->settle, s->base, -1, 0, settle, w);
    child_every(&w->beat, BEAT_US);
    w->child = (struct child){.conf = s->conf, .base = s->base, .asked = asked, .arg = w};
    child_watch(&w->child, start->life_fd);
    doors_look(w->doors);
    return true;
}

/* What is still under way ends with the process: consumers see their connection close. */
static void worker_deinit(struct worker *w)
{
    struct service *s = &w->service;
    pulse_destroy(&w->pulse);
    offload_destroy(&s->offload);
    gauges_write(s, 0, PROC_DRAINING);
    access_log_destroy(&s->access_log);
}

/* As it comes, glibc gives the heap's free end back whenever it is longer than 128 KB: an answer of that size then
 * costs a page fault for each of its pages, every time. So does what is mapped by itself: an answer of a megabyte,
 * whose buffer is two, held the loop up for 9 ms instead of 5. */
static void keep_free_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

int worker_run(const struct worker_start *start)
{
    struct worker w = {0};
    struct err err;
    keep_free_memory();
    child_memory();
    if (!worker_init(&w, start, &err)) {
        log_error("%s", err.text);
        return 1;
    }
    gauges_write(&w.service, 0, PROC_STARTING);
    srandom((unsigned)getpid());
    if (w.service.pool != NULL)
        routes_describe_all(&w.service, on_all_described);
    else
        on_all_described(&w.service);
    event_base_dispatch(w.service.base);
    worker_deinit(&w);
    return 0;
}
