#include "master/adoption.h"
#include "common/log.h"
#include "master/note.h"
#include "master/workers_state.h"
#include "shm/rowset.h"

#include <unistd.h>

static bool can_accept(const struct workers *w, const struct child *c)
{
    return c != NULL && !w->slots[c->slot].adopted && board_state(w->start.shared->board, c->proc) == PROC_READY;
}

static int slots_of(const struct workers *w, int proc)
{
    int count = 0;
    for (int slot = 0; slot < WORKERS_MAX; slot++)
        count += owners_get(w->start.shared->owners, slot) == proc;
    return count;
}

/* One that has the slot keeps it; else the one with the fewest. NULL: nobody is ready. */
static struct child *adopter(struct workers *w, int owner)
{
    struct child *best = NULL;
    int fewest = 0;
    for (int slot = 0; slot < WORKERS_MAX; slot++) {
        struct child *c = workers_find(w, slot, ROLE_SERVING);
        if (!can_accept(w, c))
            continue;
        if (c->proc == owner)
            return c;
        int count = slots_of(w, c->proc);
        if (best == NULL || count < fewest) {
            best = c;
            fewest = count;
        }
    }
    return best;
}

/* Its own worker if that is ready, or if nobody is: connections that it accepts too early wait within it. */
static struct child *owner_of(struct workers *w, int slot)
{
    struct child *own = workers_find(w, slot, ROLE_SERVING);
    if (can_accept(w, own)) {
        w->slots[slot].was_ready = true;
        return own;
    }
    struct child *other = adopter(w, owners_get(w->start.shared->owners, slot));
    return other != NULL ? other : own;
}

/* While a new master takes over, the slots of the old one's workers stay theirs until they drain. */
static bool is_anothers(const struct workers *w, int proc)
{
    const struct board *board = w->start.shared->board;
    return board_taker(board, proc) != getpid() && board_state(board, proc) == PROC_READY;
}

static void wake(const struct shared *shared, int proc)
{
    if (proc != OWNERS_NOBODY)
        rowset_wake_one(proc, shared->wake_fd);
}

static void tell(struct workers *w, int slot, const struct child *owner)
{
    if (!w->keeping || !w->slots[slot].was_ready || owner == NULL || owner->slot == slot)
        return;
    note(w->start.shared, adopted, slot, owner->pid, "worker %d accepts what comes to worker %d", owner->slot, slot);
}

bool adoption_step(struct workers *w)
{
    struct shared *shared = w->start.shared;
    bool anothers = false;
    int slots = listeners_slots(w->start.listeners);
    for (int slot = 0; slot < slots; slot++) {
        const struct child *owner = owner_of(w, slot);
        int before = owners_get(shared->owners, slot), now = owner ? owner->proc : OWNERS_NOBODY;
        if (now == before)
            continue;
        if (before != OWNERS_NOBODY && is_anothers(w, before)) {
            anothers = true;
            continue;
        }
        owners_set(shared->owners, slot, now);
        tell(w, slot, owner);
        wake(shared, before);
        wake(shared, now);
    }
    return anothers;
}

void workers_adopt(struct workers *w, int slot)
{
    w->slots[slot].adopted = true;
    (void)adoption_step(w);
}

void workers_return(struct workers *w, int slot)
{
    w->slots[slot].adopted = false;
    (void)adoption_step(w);
}

void adoption_wake_all(const struct workers *w)
{
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0)
            wake(w->start.shared, w->children[i].proc);
}
