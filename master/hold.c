#include "master/hold.h"
#include "master/note.h"
#include "master/replace.h"
#include "master/workers_state.h"

static void hold_one(struct workers *w, int slot, int64_t shutdown_timeout_us, int64_t now_us)
{
    w->slots[slot].held = true;
    workers_drain_slot(w, slot, shutdown_timeout_us, now_us);
}

void workers_hold(struct workers *w, int slot, int64_t shutdown_timeout_us, int64_t now_us)
{
    workers_replace_stops(w, slot, "is not wanted any more");
    if (slot != HOLD_ALL) {
        hold_one(w, slot, shutdown_timeout_us, now_us);
        note(w->start.shared, drained, slot, 0, "worker %d drains, and is not started again before a resume", slot);
        return;
    }
    for (slot = 0; slot < WORKERS_MAX; slot++)
        hold_one(w, slot, shutdown_timeout_us, now_us);
    note(w->start.shared, drained, EVENT_NO_SLOT, 0, "all workers drain, connections wait until a resume");
}

void workers_release(struct workers *w, int slot)
{
    bool any = false;
    for (int i = 0; i < WORKERS_MAX; i++) {
        if (!w->slots[i].held || (slot != HOLD_ALL && slot != i))
            continue;
        w->slots[i].held = false;
        backoff_forget(&w->slots[i].backoff);
        any = true;
    }
    if (any && slot == HOLD_ALL)
        note(w->start.shared, resumed, EVENT_NO_SLOT, 0, "drained workers are started again");
    else if (any)
        note(w->start.shared, resumed, slot, 0, "worker %d is started again", slot);
}

bool workers_are_held(const struct workers *w, int slots)
{
    for (int slot = 0; slot < slots; slot++)
        if (!w->slots[slot].held)
            return false;
    return true;
}
