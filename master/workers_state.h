/* What the files that keep the worker processes share. */
#ifndef MASTER_WORKERS_STATE_H
#define MASTER_WORKERS_STATE_H

#include "master/backoff.h"
#include "master/workers.h"

enum role { ROLE_SERVING, ROLE_NEXT, ROLE_DRAINING };

/* hang.c's, of one process. */
struct hang {
    bool begun, traced; /* told of */
    int64_t kill_at_us; /* it was told to abort; 0: not */
};

/* The keeper is a child like the others, with a slot of its own in front of theirs and without sockets. */
struct child {
    pid_t pid; /* 0: free */
    int slot, proc;
    enum role role;
    int64_t started_us;
    int64_t kill_at_us; /* 0: never */
    struct hang hang;
    const struct cache *cache; /* that it uses */
};

struct slot {
    struct backoff backoff;
    bool adopted;   /* its worker hangs: workers_adopt() */
    bool was_ready; /* some worker of it once was */
    bool held;      /* hold.h */
};

struct workers {
    struct workers_start start;
    struct child children[BOARD_ROWS];
    struct slot room[WORKERS_MAX - KEEPER_SLOT], *slots; /* from KEEPER_SLOT on */
    bool keeping, any_ready, failed_at_start;
    struct {
        int64_t next_us;    /* when hang_step() meant to be called next; 0: never */
        int64_t resumed_us; /* the master had stood still until then */
    } watch;
    bool rolls; /* replace.h */
    struct {
        bool active;
        int slot;
        int64_t deadline_us, shutdown_timeout_us;
    } replace;
};

struct slot_name {
    char s[32];
};
struct slot_name slot_name(int slot); /* "worker 3", "keeper" */

/* NULL: none. */
struct child *workers_find(struct workers *workers, int slot, enum role role);

#endif
