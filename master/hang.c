#include "master/hang.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/crash.h"
#include "master/note.h"
#include "master/proc_file.h"
#include "master/workers_state.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define STALE_US US_PER_S
#define START_LIMIT_US (30 * US_PER_S)
#define KILL_AFTER_US (2 * US_PER_S)
#define LOOK_US (250 * US_PER_MS)
/* So much later than it meant to look the master did not run, or the machine. */
#define STALL_US (500 * US_PER_MS)

/* Since when it has not turned, as far as the master can tell. */
static int64_t stands_since_us(const struct workers *w, const struct child *c)
{
    int64_t beat_us = board_last_beat_us(w->start.shared->board, c->proc);
    return MAX(beat_us > 0 ? beat_us : c->started_us, w->watch.resumed_us);
}

static int64_t stale_us(const struct workers *w, const struct child *c)
{
    return board_last_beat_us(w->start.shared->board, c->proc) > 0 ? STALE_US : START_LIMIT_US;
}

static bool has_a_slot(const struct child *c)
{
    return c->role == ROLE_SERVING && c->slot != KEEPER_SLOT;
}

static void begin(struct workers *w, struct child *c, int64_t stood_us)
{
    const struct shared *shared = w->start.shared;
    struct proc_text stack = proc_stack(c->pid);
    c->hang.begun = true;
    note(shared, hung, c->slot, c->pid, "%s (pid %d) has not turned for %.1f s, at: %s; %s%s%s", slot_name(c->slot).s,
         (int)c->pid, (double)stood_us / US_PER_S, crash_at(shared, atomic_load(board_doing(shared->board, c->proc))).s,
         proc_status(c->pid, "State").s, stack.s[0] != '\0' ? ", in the kernel:" : "", stack.s);
    if (has_a_slot(c))
        workers_adopt(w, c->slot);
}

static void end(struct workers *w, struct child *c)
{
    note(w->start.shared, turns_again, c->slot, c->pid, "%s (pid %d) turns again", slot_name(c->slot).s, (int)c->pid);
    c->hang = (struct hang){0};
    if (has_a_slot(c))
        workers_return(w, c->slot);
}

/* In its loop's thread, for the backtrace; a stopped one does not take it until it goes on. */
static void abort_process(struct workers *w, struct child *c, int64_t stood_us, int64_t now_us)
{
    if (atoi(proc_status(c->pid, "TracerPid").s) > 0) {
        if (!c->hang.traced)
            log_warn("%s (pid %d) is traced, and left alone", slot_name(c->slot).s, (int)c->pid);
        c->hang.traced = true;
        return;
    }
    note(w->start.shared, hang_ended, c->slot, c->pid, "%s (pid %d) has not turned for %.1f s and is ended",
         slot_name(c->slot).s, (int)c->pid, (double)stood_us / US_PER_S);
    c->hang.kill_at_us = now_us + KILL_AFTER_US;
    tgkill(c->pid, c->pid, SIGABRT);
    kill(c->pid, SIGCONT);
}

static int64_t watch(struct workers *w, struct child *c, int64_t timeout_us, int64_t now_us)
{
    int64_t since_us = stands_since_us(w, c), stood_us = now_us - since_us, stale = stale_us(w, c);
    if (c->hang.kill_at_us > 0) {
        if (now_us < c->hang.kill_at_us)
            return c->hang.kill_at_us;
        kill(c->pid, SIGKILL); /* again each time: nothing else is left to do */
        return now_us + LOOK_US;
    }
    if (stood_us < stale) {
        if (c->hang.begun)
            end(w, c);
        return since_us + stale;
    }
    if (!c->hang.begun)
        begin(w, c, stood_us);
    if (timeout_us > 0 && stood_us >= MAX(timeout_us, stale))
        abort_process(w, c, stood_us, now_us);
    return now_us + LOOK_US;
}

int64_t hang_step(struct workers *w, int64_t timeout_us, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    if (w->watch.next_us > 0 && now_us > w->watch.next_us + STALL_US)
        w->watch.resumed_us = now_us;
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0)
            next_us = MIN(next_us, watch(w, &w->children[i], timeout_us, now_us));
    w->watch.next_us = next_us == INT64_MAX ? 0 : next_us;
    return next_us;
}
