#include "worker/worker.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/pool.h"
#include "worker/access_log.h"
#include "worker/gauges.h"
#include "worker/http.h"
#include "worker/park.h"
#include "worker/redis.h"
#include "worker/request.h"
#include "worker/router.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT_US (250 * US_PER_MS)
#define SETTLE_US (300 * US_PER_MS)
#define SETTLE_STEP_US (5 * US_PER_MS)
#define DRAIN_STEP_US (50 * US_PER_MS)

struct worker {
    struct service service;
    struct http *http, *admin;
    struct event beat, drain, life, settle;
    int64_t settle_until_us;
    struct event signals[4];
    int64_t drain_until_us;
    int error_log_fd; /* own; -1: the master's is still in use */
};

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

static void every(struct event *event, int64_t us)
{
    struct timeval tv = {us / US_PER_S, us % US_PER_S};
    event_add(event, &tv);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    gauges_write(&w->service, http_connections(w->http), state_of(w));
    if (w->service.redis != NULL)
        redis_tick(w->service.redis);
}

/* ---- ending ---- */

static void on_drain_step(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    int64_t now_us = clock_mono_us();
    int left = http_drain_step(w->http, now_us) + http_drain_step(w->admin, now_us) + w->service.in_flight;
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
    gauges_write(s, http_connections(w->http), PROC_DRAINING);
    s->draining = true;
    w->drain_until_us = clock_mono_us() + s->conf->shutdown_timeout_us;
    http_drain(w->http);
    http_drain(w->admin);
    if (s->pool != NULL)
        pool_drain(s->pool);
    tell_master(w);
    every(&w->drain, DRAIN_STEP_US);
}

static void on_life(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct worker *w = arg;
    char byte;
    if (read(fd, &byte, 1) == 0) {
        event_del(&w->life);
        drain(w, "the master is gone");
    }
}

static void reopen_logs(struct worker *w)
{
    const char *path = w->service.conf->error_log;
    access_log_reopen(w->service.access_log);
    if (strcmp(path, "stderr") == 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        log_error("error log %s: %s; going on with the old file", path, strerror(errno));
    else
        log_set_fd(fd);
    if (fd >= 0 && w->error_log_fd >= 0)
        close(w->error_log_fd);
    if (fd >= 0)
        w->error_log_fd = fd;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct worker *w = arg;
    if (number == SIGUSR1)
        reopen_logs(w);
    else if (number == SIGQUIT)
        drain(w, "asked to");
    else
        event_base_loopbreak(w->service.base);
}

static void take_signals(struct worker *w)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        event_assign(&w->signals[i], w->service.base, numbers[i], EV_SIGNAL | EV_PERSIST, on_signal, w);
        event_add(&w->signals[i], NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    /* Blocked since before the fork: what came meanwhile is taken now. */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- starting ---- */

static void observe_pool(void *arg, int64_t wait_us, int64_t run_us)
{
    struct service *s = arg;
    stats_observe(s->stats, s->slot, HIST_pool_wait, wait_us);
    stats_observe(s->stats, s->slot, HIST_database, run_us);
}

static void settle(evutil_socket_t fd, short what, void *arg);

/* The first requests shall find Redis in use. */
static void on_all_described(struct service *s)
{
    struct worker *w = (struct worker *)(void *)((char *)s - offsetof(struct worker, service));
    w->settle_until_us = clock_mono_us() + SETTLE_US;
    settle(-1, 0, w);
}

static void settle(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct worker *w = arg;
    struct service *s = &w->service;
    if (s->redis != NULL && !redis_settled(s->redis) && clock_mono_us() < w->settle_until_us) {
        every(&w->settle, SETTLE_STEP_US);
        return;
    }
    s->described = true;
    tell_master(w);
    gauges_write(s, http_connections(w->http), state_of(w));
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    CHECK(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    /* The time of waking up, from which a request's latency counts, is else up to 4 ms old. */
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    /* evhttp turns reading off and on for each request: changes that cancel out never reach the kernel. It asks that no
     * descriptor is closed while a copy of it stays open, which is why http_listen() makes none. */
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    CHECK(base != NULL);
    event_config_free(config);
    return base;
}

static bool service_init(struct service *s, const struct worker_start *start, struct err *err)
{
    s->start = start;
    s->conf = start->conf;
    s->shared = start->shared;
    s->stats = start->shared->stats;
    s->slot = start->slot;
    s->proc = start->proc;
    s->base = make_base();
    s->access_log = access_log_create(s->base, s->conf->access_log, err);
    if (s->access_log == NULL)
        return false;
    if (s->conf->database.set)
        s->pool = pool_create(s->base, s->conf, observe_pool, s);
    if (s->conf->redis.set)
        s->redis = redis_create(s);
    s->routes = routes_create(s);
    s->router = router_create(s->routes, s->conf->route_count);
    s->park = park_create(s);
    return true;
}

static bool listen_on(struct http *http, const int *fds, int count, struct err *err)
{
    for (int i = 0; i < count; i++)
        if (!http_listen(http, fds[i]))
            return err_set(err, "cannot accept on socket %d: %s", fds[i], strerror(errno));
    return true;
}

static bool worker_init(struct worker *w, const struct worker_start *start, struct err *err)
{
    struct service *s = &w->service;
    if (!service_init(s, start, err))
        return false;
    w->http = http_create(s->base, s->conf, &s->conf->listen, request_begin, s);
    w->admin = http_create(s->base, s->conf, &s->conf->admin, request_begin_admin, s);
    event_assign(&w->beat, s->base, -1, EV_PERSIST, on_beat, w);
    event_assign(&w->drain, s->base, -1, EV_PERSIST, on_drain_step, w);
    event_assign(&w->settle, s->base, -1, 0, settle, w);
    event_assign(&w->life, s->base, start->life_fd, EV_READ | EV_PERSIST, on_life, w);
    every(&w->beat, BEAT_US);
    event_add(&w->life, NULL);
    take_signals(w);
    return listen_on(w->http, start->listen_fds, start->listen_count, err) &&
           listen_on(w->admin, start->admin_fds, start->admin_count, err);
}

/* What is still under way ends with the process: consumers see their connection close. */
static void worker_deinit(struct worker *w)
{
    struct service *s = &w->service;
    gauges_write(s, 0, PROC_DRAINING);
    access_log_destroy(&s->access_log);
}

int worker_run(const struct worker_start *start)
{
    struct worker w = {.error_log_fd = -1};
    struct err err;
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
