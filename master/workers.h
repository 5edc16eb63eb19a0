/* The worker processes: started, watched, ended, started again. A slot is a place for one serving worker; those that
 * drain after a reload have left their slot. */
#ifndef MASTER_WORKERS_H
#define MASTER_WORKERS_H

#include "master/generation.h"
#include "master/listeners.h"
#include "shm/shared.h"
#include "worker/tls.h"

#include <sys/types.h>

struct workers;

/* Of the keeper, which workers_keep() keeps like a worker. It takes part in no roll. */
enum { KEEPER_SLOT = -1 };

struct workers_start {
    struct shared *shared;
    const struct listeners *listeners;
    const struct tls_tickets *tickets;
    int life_fd;               /* read end of the pipe whose write end only the master holds */
    void (*forget)(void *arg); /* in the child: closes what is the master's own */
    void *arg;
};

struct workers *workers_create(const struct workers_start *start) MUST_USE;
void workers_destroy(struct workers **workers);

/* Kills who drains for longer than shutdown_timeout and 5 s; the next time that it may have to, or INT64_MAX. */
int64_t workers_kill_stuck(struct workers *workers, int64_t now_us);
/* Starts the slot's worker when there is none and its time has come; that time, or INT64_MAX. */
int64_t workers_keep(struct workers *workers, int slot, const struct generation *generation, int64_t now_us);
/* Takes the exits of all children that ended. A child that is no worker is told to other(). True: one of them died
 * inside a write, whose outcome only the database knows. */
bool workers_reap(struct workers *workers, int64_t now_us, void (*other)(void *arg, pid_t pid, int status), void *arg);
/* One ended with an error, or by a signal, before any worker was ever ready: the start failed. */
bool workers_failed_at_start(const struct workers *workers);

/* A second worker for the slot, beside the one that serves. False: no row of the board is free, or no process. */
bool workers_start_next(struct workers *workers, int slot, const struct generation *generation, int64_t now_us);
enum proc_state workers_next_state(const struct workers *workers, int slot); /* PROC_FREE: it died */
/* The next one takes the slot, the old one drains and has shutdown_timeout_us for that. */
void workers_promote_next(struct workers *workers, int slot, int64_t shutdown_timeout_us, int64_t now_us);
/* Its worker drains, and none takes its place. */
void workers_drain_slot(struct workers *workers, int slot, int64_t shutdown_timeout_us, int64_t now_us);
bool workers_any_drains(const struct workers *workers);
bool workers_old_listen(const struct workers *workers); /* one that was told to drain still accepts */
/* The slot's worker hangs: another one accepts for it until workers_return(), or until it is replaced. */
void workers_adopt(struct workers *workers, int slot);
void workers_return(struct workers *workers, int slot);
/* The present keeper ends, and workers_keep() starts another one. */
void workers_end_keeper(struct workers *workers, int64_t now_us);
void workers_kill_next(struct workers *workers, int slot);

/* So many slots have a worker that is ready. */
bool workers_all_ready(const struct workers *workers, int slots);
/* All drain, and have shutdown_timeout_us for that; the keeper ends. None is started any more. */
void workers_retire(struct workers *workers, int64_t shutdown_timeout_us, int64_t now_us);
bool workers_use_cache(const struct workers *workers, const struct cache *cache);
void workers_signal(struct workers *workers, int sig);
int workers_alive(const struct workers *workers);
void workers_stop_keeping(struct workers *workers); /* no worker is started any more */

#endif
