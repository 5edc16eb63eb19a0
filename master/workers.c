#include "common/clock.h"
#include "common/log.h"
#include "common/thread.h"
#include "master/crash.h"
#include "master/note.h"
#include "master/privileges.h"
#include "master/title.h"
#include "master/workers_state.h"
#include "shm/memory_limits.h"
#include "shm/stats.h"
#include "worker/keeper.h"
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A worker ends by itself at shutdown_timeout; one that does not is stuck. */
#define STUCK_US (5 * US_PER_S)

struct workers *workers_create(const struct workers_start *start)
{
    struct workers *w = xcalloc(1, sizeof *w);
    last_words_prepare();
    w->start = *start;
    w->slots = w->room - KEEPER_SLOT;
    w->keeping = true;
    return w;
}

void workers_destroy(struct workers **w)
{
    free(*w);
    *w = NULL;
}

struct child *workers_find(struct workers *w, int slot, enum role role)
{
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0 && w->children[i].slot == slot && w->children[i].role == role)
            return &w->children[i];
    return NULL;
}

/* ---- starting ---- */

/* They stay blocked until the worker's loop takes them. */
static void reset_signals(void)
{
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL); /* fails for KILL and STOP, which is fine */
}

struct slot_name slot_name(int slot)
{
    struct slot_name name = {"keeper"};
    if (slot != KEEPER_SLOT)
        snprintf(name.s, sizeof name.s, "worker %d", slot);
    return name;
}

NORETURN static void be_child(struct workers *w, int slot, int proc, const struct generation *generation, pid_t master)
{
    const struct workers_start *start = &w->start;
    const struct slot_name name = slot_name(slot);
    struct err err;
    bool serves = slot != KEEPER_SLOT;
    reset_signals();
    last_words_attach(start->shared->board, proc);
    start->forget(start->arg);
    shared_enter(start->shared, generation->cache);
    prctl(PR_SET_NAME, serves ? "perfd-worker" : "perfd-keeper");
    title_set("perfd: %s (gen %d)", name.s, generation->number);
    log_set_name(name.s);
    if (!privileges_of_child(generation->conf, master, WORKER_DEATH_SIGNAL, &err)) {
        log_error("%s", err.text);
        _exit(1);
    }
    if (serves && generation->conf->cpu_affinity && !thread_pin(slot))
        log_warn("cpu_affinity: %s; it stays free", strerror(errno));
    if (serves)
        memory_limits_enforce(generation->conf);
    if (generation->log_fd >= 0)
        log_set_fd(generation->log_fd);
    int sockets = 0;
    const struct worker_start worker = {
        .conf = generation->conf,
        .shared = start->shared,
        .slot = slot,
        .proc = proc,
        .generation = generation->number,
        .sockets = serves ? listeners_sockets(start->listeners, generation->conf, &sockets) : NULL,
        .socket_count = sockets,
        .tickets = start->tickets,
        .tls_files = generation->tls_files,
        .life_fd = start->life_fd,
        .route_rows = generation->route_rows,
        .permit_rows = generation->permit_rows,
    };
    _exit(serves ? worker_run(&worker) : keeper_run(&worker));
}

static struct child *start_child(struct workers *w, int slot, enum role role, const struct generation *generation,
                                 int64_t now_us)
{
    struct child *child = NULL;
    for (int i = 0; i < BOARD_ROWS && child == NULL; i++)
        if (w->children[i].pid == 0)
            child = &w->children[i];
    int proc = child ? board_take(w->start.shared->board, slot, generation->number) : -1;
    if (proc < 0) {
        log_error("%s cannot start: %d processes live already", slot_name(slot).s, BOARD_ROWS);
        return NULL;
    }
    pid_t master = getpid(), pid = fork();
    if (pid == 0)
        be_child(w, slot, proc, generation, master);
    if (pid < 0) {
        log_error("%s cannot start: fork: %s", slot_name(slot).s, strerror(errno));
        board_set_state(w->start.shared->board, proc, PROC_FREE);
        return NULL;
    }
    board_set_pid(w->start.shared->board, proc, pid);
    *child = (struct child){.pid = pid, .slot = slot, .proc = proc, .role = role, .started_us = now_us};
    child->cache = generation->cache;
    return child;
}

/* No worker is ready to serve. */
static bool is_alone(const struct workers *w)
{
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *c = &w->children[i];
        if (c->pid > 0 && c->slot != KEEPER_SLOT && c->role != ROLE_DRAINING &&
            board_state(w->start.shared->board, c->proc) == PROC_READY)
            return false;
    }
    return true;
}

static int64_t start_at_us(const struct workers *w, int slot)
{
    return backoff_until_us(&w->slots[slot].backoff, slot != KEEPER_SLOT && is_alone(w));
}

static void delay_slot(struct workers *w, int slot, int64_t started_us, int64_t now_us)
{
    backoff_died(&w->slots[slot].backoff, started_us, now_us);
    int64_t delay_us = start_at_us(w, slot) - now_us;
    if (delay_us > 0)
        log_warn("%s starts again in %.1f s", slot_name(slot).s, (double)delay_us / US_PER_S);
}

int64_t workers_keep(struct workers *w, int slot, const struct generation *generation, int64_t now_us)
{
    if (!w->keeping || w->slots[slot].held || workers_find(w, slot, ROLE_SERVING) != NULL)
        return INT64_MAX;
    if (now_us < start_at_us(w, slot))
        return start_at_us(w, slot);
    if (start_child(w, slot, ROLE_SERVING, generation, now_us) != NULL)
        return INT64_MAX;
    delay_slot(w, slot, now_us, now_us);
    return MAX(start_at_us(w, slot), now_us + 1);
}

/* ---- ending ---- */

static void note_ready(struct workers *w)
{
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *c = &w->children[i];
        if (c->pid > 0 && c->slot != KEEPER_SLOT && board_state(w->start.shared->board, c->proc) >= PROC_READY)
            w->any_ready = true;
    }
}

/* True: it died inside a write. */
static bool child_ended(struct workers *w, struct child *child, int status, int64_t now_us)
{
    struct stats *stats = w->start.shared->stats;
    const struct child gone = *child;
    child->pid = 0;
    const struct crash crash = crash_take(w->start.shared, gone.proc);
    bool wrote = shared_reap(w->start.shared, gone.proc, now_us);
    bool well = gone.role == ROLE_DRAINING || !w->keeping;
    if (well && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        note(w->start.shared, worker_ended, gone.slot, gone.pid, "%s (pid %d) ended", slot_name(gone.slot).s,
             (int)gone.pid);
    } else {
        crash_tell(w->start.shared, &crash, slot_name(gone.slot).s, gone.slot, gone.pid, status);
        if (gone.slot != KEEPER_SLOT)
            stats_add(stats, gone.slot, STAT_restarts, gone.role == ROLE_SERVING && w->keeping);
    }
    /* A worker's may be its successor's by now, which may be another master's. */
    if (gone.slot == KEEPER_SLOT ? gone.role == ROLE_SERVING : stats_get(stats, gone.slot, STAT_pid) == gone.pid)
        stats_clear_gauges(stats, gone.slot);
    if (gone.role != ROLE_SERVING)
        return wrote;
    w->slots[gone.slot].adopted = false;
    if (!w->keeping)
        return wrote;
    if (status != 0 && !w->any_ready)
        w->failed_at_start = true;
    delay_slot(w, gone.slot, gone.started_us, now_us);
    return wrote;
}

bool workers_reap(struct workers *w, int64_t now_us, void (*other)(void *arg, pid_t pid, int status), void *arg)
{
    int status;
    pid_t pid;
    bool wrote = false;
    note_ready(w);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = NULL;
        for (int i = 0; i < BOARD_ROWS && child == NULL; i++)
            if (w->children[i].pid == pid)
                child = &w->children[i];
        if (child != NULL)
            wrote |= child_ended(w, child, status, now_us);
        else
            other(arg, pid, status);
    }
    return wrote;
}

bool workers_failed_at_start(const struct workers *w)
{
    return w->failed_at_start;
}

/* ---- rolling ---- */

bool workers_start_next(struct workers *w, int slot, const struct generation *generation, int64_t now_us)
{
    return start_child(w, slot, ROLE_NEXT, generation, now_us) != NULL;
}

enum proc_state workers_next_state(const struct workers *w, int slot)
{
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *c = &w->children[i];
        if (c->pid > 0 && c->slot == slot && c->role == ROLE_NEXT)
            return board_state(w->start.shared->board, c->proc);
    }
    return PROC_FREE;
}

static void let_drain(struct child *child, int64_t shutdown_timeout_us, int64_t now_us)
{
    child->role = ROLE_DRAINING;
    child->kill_at_us = now_us + shutdown_timeout_us + STUCK_US;
    kill(child->pid, SIGQUIT);
}

void workers_promote_next(struct workers *w, int slot, int64_t shutdown_timeout_us, int64_t now_us)
{
    struct child *old = workers_find(w, slot, ROLE_SERVING), *next = workers_find(w, slot, ROLE_NEXT);
    if (old != NULL)
        let_drain(old, shutdown_timeout_us, now_us);
    next->role = ROLE_SERVING;
    backoff_forget(&w->slots[slot].backoff);
    w->slots[slot].adopted = false; /* that was about the old one */
}

void workers_drain_slot(struct workers *w, int slot, int64_t shutdown_timeout_us, int64_t now_us)
{
    struct child *serving = workers_find(w, slot, ROLE_SERVING);
    if (serving != NULL)
        let_drain(serving, shutdown_timeout_us, now_us);
    backoff_forget(&w->slots[slot].backoff);
    w->slots[slot].adopted = false;
}

void workers_end_keeper(struct workers *w, int64_t now_us)
{
    struct child *keeper = workers_find(w, KEEPER_SLOT, ROLE_SERVING);
    if (keeper == NULL)
        return;
    keeper->role = ROLE_DRAINING;
    keeper->kill_at_us = now_us + STUCK_US;
    kill(keeper->pid, SIGTERM);
}

bool workers_all_ready(const struct workers *w, int slots)
{
    int ready = 0;
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *c = &w->children[i];
        ready += c->pid > 0 && c->slot != KEEPER_SLOT && c->role == ROLE_SERVING &&
                 board_state(w->start.shared->board, c->proc) == PROC_READY;
    }
    return ready >= slots;
}

void workers_retire(struct workers *w, int64_t shutdown_timeout_us, int64_t now_us)
{
    workers_end_keeper(w, now_us);
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0 && w->children[i].role != ROLE_DRAINING)
            let_drain(&w->children[i], shutdown_timeout_us, now_us);
    workers_stop_keeping(w);
}

bool workers_any_drains(const struct workers *w)
{
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0 && w->children[i].role == ROLE_DRAINING)
            return true;
    return false;
}

bool workers_old_listen(const struct workers *w)
{
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *c = &w->children[i];
        if (c->pid > 0 && c->role == ROLE_DRAINING && board_state(w->start.shared->board, c->proc) != PROC_DRAINING)
            return true;
    }
    return false;
}

void workers_kill_next(struct workers *w, int slot)
{
    struct child *next = workers_find(w, slot, ROLE_NEXT);
    if (next == NULL)
        return;
    kill(next->pid, SIGKILL);
    next->role = ROLE_DRAINING; /* a roll that begins before it is reaped must not take it for its own */
}

int64_t workers_kill_stuck(struct workers *w, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (int i = 0; i < BOARD_ROWS; i++) {
        struct child *c = &w->children[i];
        if (c->pid == 0 || c->kill_at_us == 0)
            continue;
        if (now_us < c->kill_at_us) {
            next_us = MIN(next_us, c->kill_at_us);
            continue;
        }
        log_error("%s (pid %d) drains for too long and is killed", slot_name(c->slot).s, (int)c->pid);
        kill(c->pid, SIGKILL);
        c->kill_at_us = 0;
    }
    return next_us;
}

bool workers_use_cache(const struct workers *w, const struct cache *cache)
{
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0 && w->children[i].cache == cache)
            return true;
    return false;
}

void workers_signal(struct workers *w, int sig)
{
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0)
            kill(w->children[i].pid, sig);
}

int workers_alive(const struct workers *w)
{
    int alive = 0;
    for (int i = 0; i < BOARD_ROWS; i++)
        alive += w->children[i].pid > 0;
    return alive;
}

void workers_stop_keeping(struct workers *w)
{
    w->keeping = false;
}
