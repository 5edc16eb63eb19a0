#include "master/replace.h"
#include "common/clock.h"
#include "master/note.h"
#include "master/workers_state.h"

#define READY_LIMIT_US (10 * US_PER_S)

bool workers_replace(struct workers *w, int slot, const struct generation *generation, int64_t now_us)
{
    if (w->rolls || w->replace.active || !w->keeping || workers_find(w, slot, ROLE_SERVING) == NULL ||
        !workers_start_next(w, slot, generation, now_us))
        return false;
    w->replace.active = true;
    w->replace.slot = slot;
    w->replace.deadline_us = now_us + READY_LIMIT_US;
    w->replace.shutdown_timeout_us = generation->conf->shutdown_timeout_us;
    return true;
}

bool workers_replaces(const struct workers *w)
{
    return w->replace.active;
}

static void fail(struct workers *w, const char *what)
{
    int slot = w->replace.slot;
    workers_kill_next(w, slot);
    w->replace.active = false;
    note(w->start.shared, replace_failed, slot, 0, "worker %d is not replaced: its successor %s", slot, what);
}

int64_t workers_replace_step(struct workers *w, int64_t now_us)
{
    if (!w->replace.active)
        return INT64_MAX;
    int slot = w->replace.slot;
    enum proc_state state = workers_next_state(w, slot);
    if (state == PROC_READY) {
        w->replace.active = false;
        workers_promote_next(w, slot, w->replace.shutdown_timeout_us, now_us);
        note(w->start.shared, replaced, slot, workers_find(w, slot, ROLE_SERVING)->pid, "worker %d is replaced", slot);
        return INT64_MAX;
    }
    if (state != PROC_FREE && now_us < w->replace.deadline_us)
        return w->replace.deadline_us;
    fail(w, state == PROC_FREE ? "died" : "was not ready within 10 s");
    return INT64_MAX;
}

void workers_roll_begins(struct workers *w)
{
    w->rolls = true;
    workers_replace_stops(w, -1, "gives way to a reload");
}

void workers_replace_stops(struct workers *w, int slot, const char *why)
{
    if (w->replace.active && (slot == -1 || slot == w->replace.slot))
        fail(w, why);
}

void workers_roll_ends(struct workers *w)
{
    w->rolls = false;
    backoff_forget(&w->slots[KEEPER_SLOT].backoff);
}
