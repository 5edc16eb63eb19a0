#include "shm/flight.h"
#include "shm/lock.h"
#include "shm/segment.h"

#include <stdlib.h>
#include <unistd.h>

enum { SLOTS = 4096, GROUPS = 64 };
_Static_assert(BOARD_ROWS <= 64, "waiters are a bit each");

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_ENDED, SLOT_ORPHANED };

struct slot {
    uint64_t key_hash;
    uint64_t born_seq;
    uint64_t waiters; /* bit i: row i of the board has someone waiting */
    uint32_t generation;
    int32_t owner; /* row of the board */
    uint32_t owner_incarnation;
    enum slot_state state;
    enum flight_end end;
    int32_t status;
};

/* A group of slots behind one lock. */
struct group {
    pthread_mutex_t lock;
    struct slot slots[SLOTS / GROUPS];
};

struct flights {
    const struct board *board;
    struct group *groups;
};

struct flights *flights_create(const struct board *board, struct err *err)
{
    struct group *groups = segment_create("perfd-flights", GROUPS * sizeof *groups, err);
    if (groups == NULL)
        return NULL;
    for (int g = 0; g < GROUPS; g++)
        lock_init(&groups[g].lock);
    struct flights *flights = xcalloc(1, sizeof *flights);
    *flights = (struct flights){board, groups};
    return flights;
}

void flights_destroy(struct flights **flights)
{
    segment_destroy((*flights)->groups, GROUPS * sizeof *(*flights)->groups);
    free(*flights);
    *flights = NULL;
}

/* An owner that died is known by its row, so that nobody has to go through the flights after it. */
static bool is_running(const struct flights *flights, const struct slot *slot)
{
    return slot->state == SLOT_RUNNING && board_incarnation(flights->board, slot->owner) == slot->owner_incarnation;
}

static struct slot *slot_at(struct flights *flights, uint32_t slot)
{
    return &flights->groups[slot % GROUPS].slots[slot / GROUPS % (SLOTS / GROUPS)];
}

/* Its holder died inside: a flight that was being changed may be torn, so all that run here end; their owners finish
 * nothing (the generation moved on) and their waiters join again. */
static void repair(struct group *group)
{
    for (int i = 0; i < SLOTS / GROUPS; i++) {
        group->slots[i].generation++;
        group->slots[i].state = SLOT_ORPHANED;
    }
}

static bool take(struct flights *flights, uint32_t slot)
{
    struct group *group = &flights->groups[slot % GROUPS];
    switch (lock_take(&group->lock)) {
    case LOCK_TAKEN:
        return true;
    case LOCK_INHERITED:
        repair(group);
        return true;
    case LOCK_LATE:
        break;
    }
    return false;
}

static void give(struct flights *flights, uint32_t slot)
{
    lock_give(&flights->groups[slot % GROUPS].lock);
}

struct flight_ticket flight_join(struct flights *flights, uint64_t key_hash, int proc, uint64_t born_seq,
                                 bool (*tags_ok)(void *arg, uint64_t flight_born_seq), void *arg)
{
    struct flight_ticket ticket = {.slot = (uint32_t)(key_hash % SLOTS), .role = FLIGHT_UNSHARED};
    struct slot *slot = slot_at(flights, ticket.slot);
    if (!take(flights, ticket.slot))
        return ticket;
    if (!is_running(flights, slot)) {
        *slot = (struct slot){.key_hash = key_hash,
                              .born_seq = born_seq,
                              .generation = slot->generation + 1,
                              .owner = proc,
                              .owner_incarnation = board_incarnation(flights->board, proc),
                              .state = SLOT_RUNNING};
        ticket.role = FLIGHT_OWNER;
    } else if (slot->key_hash == key_hash && tags_ok(arg, slot->born_seq)) {
        slot->waiters |= UINT64_C(1) << proc;
        ticket.role = FLIGHT_WAITER;
    }
    ticket.generation = slot->generation;
    ticket.born_seq = slot->born_seq;
    give(flights, ticket.slot);
    return ticket;
}

enum flight_view flight_look(struct flights *flights, const struct flight_ticket *ticket, uint64_t key_hash,
                             enum flight_end *end_out, int *status_out)
{
    struct slot *slot = slot_at(flights, ticket->slot);
    enum flight_view view = FLIGHT_ORPHAN;
    if (!take(flights, ticket->slot))
        return FLIGHT_RUNNING; /* looked at again at the next wake-up */
    if (slot->generation == ticket->generation && slot->key_hash == key_hash) {
        if (is_running(flights, slot))
            view = FLIGHT_RUNNING;
        else if (slot->state == SLOT_ENDED)
            view = FLIGHT_ENDED;
        *end_out = slot->end;
        *status_out = slot->status;
    }
    give(flights, ticket->slot);
    return view;
}

static void wake(uint64_t rows, const int *wake_fd)
{
    const uint64_t one = 1;
    for (; rows != 0; rows &= rows - 1) {
        ssize_t written = write(wake_fd[__builtin_ctzll(rows)], &one, sizeof one);
        (void)written; /* a full counter wakes as well */
    }
}

bool flight_finish(struct flights *flights, const struct flight_ticket *ticket, int proc, enum flight_end end,
                   int status, const int *wake_fd)
{
    struct slot *slot = slot_at(flights, ticket->slot);
    uint64_t waiters = 0;
    if (!take(flights, ticket->slot))
        return false;
    if (slot->generation == ticket->generation && slot->owner == proc && slot->state == SLOT_RUNNING) {
        slot->state = SLOT_ENDED;
        slot->end = end;
        slot->status = status;
        waiters = slot->waiters;
    }
    give(flights, ticket->slot);
    wake(waiters, wake_fd);
    return true;
}
