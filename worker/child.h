/* What every child of the master has: a loop, its signals, the pipe that tells of the master's death, its error log. */
#ifndef WORKER_CHILD_H
#define WORKER_CHILD_H

#include "common/conf.h"

#include <event2/event.h>
#include <event2/event_struct.h>

enum child_asked {
    CHILD_END,      /* SIGTERM, SIGINT: at once */
    CHILD_DRAIN,    /* SIGQUIT */
    CHILD_ORPHANED, /* the master is gone */
    CHILD_REOPEN    /* SIGUSR1; its error log is open anew already */
};

struct child {
    const struct conf *conf;
    struct event_base *base;
    struct event signals[4], life;
    void (*asked)(void *arg, enum child_asked what);
    void *arg;
    int error_log_fd; /* own; -1: the master's is still in use */
};

/* Before anything else: memory for libevent, and how long is waited where there is none. */
void child_memory(void);
struct event_base *child_base(void) MUST_USE;
/* Signals that came since the fork, blocked, are taken now. */
void child_watch(struct child *child, int life_fd);
void child_every(struct event *event, int64_t us); /* event_add() with a time */

#endif
