#include "worker/child.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/log.h"
#include "common/patience.h"
#include "shm/last_words.h"
#include "worker/event_memory.h"
#include "worker/event_words.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Its consumers would not wait longer, and the master starts another one. */
#define PATIENCE_US US_PER_S

void child_memory(void)
{
    patience_set(&(struct patience){PATIENCE_US, event_memory_spare, last_words_panic});
    event_memory_setup();
}

struct event_base *child_base(void)
{
    struct event_config *config = event_config_new();
    CHECK(config != NULL);
    event_words_setup();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    /* evhttp turns reading off and on for each request: changes that cancel out never reach the kernel. It asks that no
     * descriptor is closed while a copy of it stays open, which is why http_listen() makes none. */
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    event_config_avoid_method(config, "poll"); /* it would do, badly, where epoll has no descriptor */
    event_config_avoid_method(config, "select");
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base != NULL)
        return base;
    log_error("cannot start: epoll is not to be had: %s", strerror(errno));
    _exit(EXIT_RESOURCES);
}

void child_every(struct event *event, int64_t us)
{
    struct timeval tv = {us / US_PER_S, us % US_PER_S};
    event_add(event, &tv);
}

/* An orphan has nobody who ends it: so long it may take to notice, and so much longer than shutdown_timeout to end. */
enum { NOTICE_S = 3, STUCK_S = 5 };

static pid_t master;
static volatile sig_atomic_t noticed;

/* In the middle of anything: the alarm's usual end needs no loop. */
static void on_master_died(int sig)
{
    (void)sig;
    if (getppid() != master && !noticed)
        alarm(NOTICE_S);
}

static void on_life(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct child *child = arg;
    char byte;
    if (read(fd, &byte, 1) == 0) {
        noticed = 1;
        alarm((unsigned)(child->conf->shutdown_timeout_us / US_PER_S) + STUCK_S);
        event_del(&child->life);
        child->asked(child->arg, CHILD_ORPHANED);
    }
}

static void reopen_error_log(struct child *child)
{
    const char *path = child->conf->error_log;
    if (strcmp(path, "stderr") == 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        log_error("error log %s: %s; going on with the old file", path, strerror(errno));
        return;
    }
    log_set_fd(fd);
    if (child->error_log_fd >= 0)
        close(child->error_log_fd);
    child->error_log_fd = fd;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct child *child = arg;
    if (number == SIGUSR1)
        reopen_error_log(child);
    child->asked(child->arg, number == SIGUSR1 ? CHILD_REOPEN : number == SIGQUIT ? CHILD_DRAIN : CHILD_END);
}

void child_watch(struct child *child, int life_fd)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1};
    child->error_log_fd = -1;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        event_assign(&child->signals[i], child->base, numbers[i], EV_SIGNAL | EV_PERSIST, on_signal, child);
        event_add(&child->signals[i], NULL);
    }
    event_assign(&child->life, child->base, life_fd, EV_READ | EV_PERSIST, on_life, child);
    event_add(&child->life, NULL);
    master = getppid();
    signal(WORKER_DEATH_SIGNAL, on_master_died);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
