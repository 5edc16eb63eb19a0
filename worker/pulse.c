#include "worker/pulse.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/thread.h"
#include "shm/doing.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVERY_US (10 * US_PER_MS)
#define BLOCKED_US (10 * US_PER_MS)
#define STUCK_LOG_US US_PER_S
#define LOG_US US_PER_S
/* So many times without anything to do, and it rests. */
enum { IDLE_TICKS = 20 };

struct pulse {
    struct service *service;
    int timer_fd;
    struct event timer;
    int idle_ticks;
    int schedstat_fd;       /* -1: the kernel has none */
    int64_t waited_us;      /* for a CPU, since the process began */
    struct log_limit told;  /* of loop_blocked */
    _Atomic int64_t due_us; /* of the timer; 0: it rests */
    _Atomic bool ends;
    _Atomic int64_t caught_due_us; /* which one the thread found late, and what the loop was at then */
    _Atomic doing_word caught_at;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* it rests no more, or ends */
};

static doing_word at_now(void)
{
    return atomic_load_explicit(doing_at, memory_order_relaxed);
}

static const char *route_of(const struct service *s, doing_word at)
{
    return doing_route(at) > 0 ? stats_route_name(s->stats, doing_route(at)) : "no route of its own";
}

/* ---- the thread ---- */

/* False: something has changed. */
static bool sleep_until(struct pulse *p, int64_t us)
{
    const struct timespec until = {us / US_PER_S, us % US_PER_S * 1000};
    return pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0;
}

static void show_stuck(const struct pulse *p, int64_t late_us)
{
    const struct service *s = p->service;
    stats_set(s->stats, s->slot, STAT_loop_stuck_us, late_us);
    stats_set(s->stats, s->slot, STAT_loop_stuck_at, (int64_t)at_now());
}

/* The loop is late. Until it comes: what it is at, more and more seldom. */
static void watch_late(struct pulse *p, int64_t due_us)
{
    int64_t late_us = BLOCKED_US;
    bool told = false;
    p->caught_at = at_now();
    p->caught_due_us = due_us;
    while (!p->ends && p->due_us == due_us) {
        show_stuck(p, clock_mono_us() - due_us);
        if (!told && late_us >= STUCK_LOG_US) {
            log_error("the loop has not turned for %lld ms: %s, %s", (long long)(late_us / US_PER_MS),
                      doing_words(at_now()), route_of(p->service, at_now()));
            told = true;
        }
        late_us = MIN(2 * late_us, late_us + STUCK_LOG_US);
        sleep_until(p, due_us + late_us);
    }
    stats_set(p->service->stats, p->service->slot, STAT_loop_stuck_us, 0);
}

static void *watch(void *arg)
{
    struct pulse *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->ends) {
        int64_t due_us = p->due_us;
        if (due_us == 0)
            pthread_cond_wait(&p->changed, &p->lock);
        else if (clock_mono_us() - due_us >= BLOCKED_US)
            watch_late(p, due_us);
        else
            sleep_until(p, due_us + BLOCKED_US);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void call_thread(struct pulse *p)
{
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* ---- the loop ---- */

/* The second figure is what the thread has waited to be run, in nanoseconds (proc(5), sched-stats). */
static int64_t waited_for_cpu_us(const struct pulse *p)
{
    char text[64];
    ssize_t len = p->schedstat_fd >= 0 ? pread(p->schedstat_fd, text, sizeof text - 1, 0) : 0;
    if (len <= 0)
        return 0;
    text[len] = '\0';
    const char *second = strchr(text, ' ');
    return second != NULL ? strtoll(second, NULL, 10) / 1000 : 0;
}

/* The kernel's, because libevent's own timers go by a clock that stands still for 4 ms at a time
 * (CLOCK_MONOTONIC_COARSE), and are late by as much. */
static void set_timer(struct pulse *p)
{
    int64_t due_us = clock_mono_us() + EVERY_US;
    const struct itimerspec due = {.it_value = {due_us / US_PER_S, due_us % US_PER_S * 1000}};
    CHECK(timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &due, NULL) == 0);
    p->due_us = due_us;
}

static void on_woken(void *arg)
{
    struct pulse *p = arg;
    p->waited_us = waited_for_cpu_us(p);
    p->idle_ticks = 0;
    set_timer(p);
    call_thread(p);
}

static void note_blocked(struct pulse *p, int64_t late_us, int64_t own_us, doing_word at)
{
    struct service *s = p->service;
    if (own_us <= BLOCKED_US) {
        service_count(s, STAT_loop_starved);
        return;
    }
    service_count(s, STAT_loop_blocked);
    if (log_limit_pass(&p->told, LOG_US, clock_mono_us()))
        log_warn("the loop was blocked for %lld ms, %lld of them without a CPU: %s, %s",
                 (long long)(late_us / US_PER_MS), (long long)((late_us - own_us) / US_PER_MS), doing_words(at),
                 route_of(s, at));
}

static void note_lag(struct pulse *p, int64_t due_us, doing_word at)
{
    struct service *s = p->service;
    int64_t late_us = MAX(clock_mono_us() - due_us, INT64_C(0)), before_us = p->waited_us;
    p->waited_us = waited_for_cpu_us(p);
    int64_t own_us = MAX(late_us - (p->waited_us - before_us), INT64_C(0));
    stats_observe(s->stats, s->slot, HIST_loop_lag, late_us);
    stats_observe(s->stats, s->slot, HIST_loop_lag_own, own_us);
    if (late_us > BLOCKED_US)
        note_blocked(p, late_us, own_us, p->caught_due_us == due_us ? p->caught_at : at);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pulse *p = arg;
    uint64_t expirations;
    doing_word at = at_now();
    if (read(p->timer_fd, &expirations, sizeof expirations) != sizeof expirations)
        return; /* it was set anew meanwhile */
    note_lag(p, p->due_us, at);
    /* Whatever is begun from here on is seen to be so. */
    doing_swap(DOING_pulse);
    p->idle_ticks = at == DOING_pulse ? p->idle_ticks + 1 : 0;
    if (p->idle_ticks < IDLE_TICKS) {
        set_timer(p);
        return;
    }
    p->due_us = 0;
    doing_swap(DOING_rest);
}

/* ---- life ---- */

static void init_thread(struct pulse *p)
{
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0 && pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&p->changed, &attr) == 0 && pthread_mutex_init(&p->lock, NULL) == 0);
    pthread_condattr_destroy(&attr);
    p->has_thread = thread_start(&p->thread, "perfd-pulse", watch, p);
}

struct pulse *pulse_create(struct service *s)
{
    struct pulse *p = xcalloc(1, sizeof *p);
    p->service = s;
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (p->timer_fd < 0) {
        free(p);
        return NULL;
    }
    p->schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    event_assign(&p->timer, s->base, p->timer_fd, EV_READ | EV_PERSIST, on_timer, p);
    event_add(&p->timer, NULL);
    init_thread(p);
    doing_woken = on_woken;
    doing_woken_arg = p;
    return p;
}

void pulse_destroy(struct pulse **pulse)
{
    struct pulse *p = *pulse;
    if (p == NULL)
        return;
    p->ends = true;
    call_thread(p);
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    event_del(&p->timer);
    close(p->timer_fd);
    doing_woken = doing_asked_by_nobody;
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    if (p->schedstat_fd >= 0)
        close(p->schedstat_fd);
    free(p);
    *pulse = NULL;
}
