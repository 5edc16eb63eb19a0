/* All memory that outlives a worker, made by the master before the first fork and inherited: the cache's data, the
 * control segment (tags, flights, board) and the statistics file. */
#ifndef SHM_SHARED_H
#define SHM_SHARED_H

#include "common/conf.h"
#include "common/err.h"
#include "shm/control.h"

struct cache;
struct stats;

struct shared {
    struct cache *cache;
    struct control control;
    struct tags *tags; /* the control segment's, as are the next four */
    struct flights *flights;
    struct board *board;
    struct permits *permits;
    struct rates *rates;
    struct stats *stats;
    int wake_fd[BOARD_ROWS];          /* eventfd of each process row, non-blocking: "look again at what you parked" */
    int master_fd;                    /* eventfd: a board row changed its state */
    struct permit_debts permit_debts; /* the master's */
};

/* Creates everything for conf; the statistics file is conf->run_dir/perfd.stats. Refuses a cache that MemAvailable or
 * a cgroup limit cannot hold, with both figures. */
bool shared_create(struct shared *shared, const struct conf *conf, struct err *err) MUST_USE;

void shared_destroy(struct shared *shared); /* this process's mappings and descriptors */

/* The master, only after waitpid() of the process that had row proc: its flights are orphans, its unfinished
 * writes raise the epoch, its permits are owed, its row is free again, and every worker is woken. True: it died inside
 * a write, which the database may yet commit. Then shared_doubt() once that cannot be any more. */
bool shared_reap(struct shared *shared, int proc, int64_t now_us);
/* Gives back the permits of the dead whose statements are over by now. Returns when the next are; INT64_MAX: none. */
int64_t shared_settle(struct shared *shared, int64_t now_us);
/* Drops everything, here and in Redis. */
void shared_doubt(struct shared *shared);

#endif
