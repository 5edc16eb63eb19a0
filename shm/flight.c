#include "shm/flight.h"
#include "shm/fault.h"
#include "shm/rowset.h"

#include <stdatomic.h>

enum { SLOTS = 4096 };
_Static_assert(BOARD_ROWS <= 128, "owners are 7 bits");

enum slot_state { SLOT_FREE, SLOT_CLAIM, SLOT_RUN, SLOT_VALUE, SLOT_NONE, SLOT_ERROR, SLOT_ORPHAN };

struct slot {
    _Atomic uint64_t word;
    _Atomic uint64_t hash, check, born_seq; /* the owner's, stored between CLAIM and RUN */
    struct rowset waiters;                  /* rows of the board, each added and removed by its process alone* */
    uint64_t unused[2];
};
_Static_assert(sizeof(struct slot) == FLIGHT_BYTES, "a slot is a cache line");

struct flights {
    struct slot slots[SLOTS];
};

size_t flights_bytes(void)
{
    return sizeof(struct flights);
}

/* ---- the word: generation 32 | owner 7 | state 3 | status 10 | fragment 12 ---- */

static uint64_t make_word(uint32_t generation, int owner, enum slot_state state, int status, uint64_t hash)
{
    return (uint64_t)generation << 32 | (uint64_t)(owner & 127) << 25 | (uint64_t)state << 22 |
           (uint64_t)(status & 1023) << 12 | hash >> 52;
}

static uint32_t generation_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static int owner_of(uint64_t word)
{
    return (int)(word >> 25 & 127);
}

static enum slot_state state_of(uint64_t word)
{
    return (enum slot_state)(word >> 22 & 7);
}

static int status_of(uint64_t word)
{
    return (int)(word >> 12 & 1023);
}

static bool flies(uint64_t word)
{
    return state_of(word) == SLOT_CLAIM || state_of(word) == SLOT_RUN;
}

static bool change(struct slot *slot, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&slot->word, &from, to);
}

/* ---- owning ---- */

/* From any word to a flight of ours. Nobody reads the key and born_seq of a slot in CLAIM, save by the fragment. */
static bool claim(struct slot *slot, uint64_t from, struct flight_ticket *ticket, int proc, struct tags *tags)
{
    uint32_t generation = generation_of(from) + 1;
    uint64_t word = make_word(generation, proc, SLOT_CLAIM, 0, ticket->key.hash);
    if (!change(slot, from, word))
        return false;
    FAULT(flight_claimed);
    if (MUTANT(clear_at_claim))
        rowset_clear(&slot->waiters);
    ticket->generation = generation;
    ticket->role = FLIGHT_OWNER;
    ticket->born_seq = tags_now(tags); /* before the fetch can begin* */
    slot->hash = ticket->key.hash;
    slot->check = ticket->key.check;
    slot->born_seq = ticket->born_seq;
    FAULT(flight_told);
    change(slot, word, make_word(generation, proc, SLOT_RUN, 0, ticket->key.hash));
    FAULT(flight_running);
    return true;
}

static bool is_of(const struct slot *slot, uint64_t word, const struct flight_key *key)
{
    if (state_of(word) == SLOT_CLAIM)
        return (word & 0xfff) == key->hash >> 52;
    return slot->hash == key->hash && slot->check == key->check;
}

/* True: the role is settled. False: the slot has changed, look at it anew. */
static bool try_join(struct slot *slot, struct flight_ticket *ticket, int proc, struct tags *tags,
                     const uint32_t *tag_slots, int tag_count, bool wait)
{
    uint64_t word = slot->word;
    if (!flies(word))
        return claim(slot, word, ticket, proc, tags);
    ticket->role = FLIGHT_UNSHARED;
    if (!is_of(slot, word, &ticket->key))
        return slot->word == word;
    uint64_t born_seq = state_of(word) == SLOT_RUN ? slot->born_seq : tags_now(tags);
    if (slot->word != word)
        return false;
    FAULT(flight_met);
    if (state_of(word) == SLOT_RUN && !tags_valid(tags, born_seq, tag_slots, tag_count))
        return claim(slot, word, ticket, proc, tags);
    if (!wait)
        return true;
    rowset_add(&slot->waiters, proc); /* a full fence: the look that follows comes after it */
    FAULT(flight_marked);
    ticket->generation = generation_of(word);
    ticket->born_seq = born_seq;
    ticket->role = FLIGHT_WAITER;
    /* Who ended it before it saw us among the waiters has not woken us*. CLAIM to RUN is no end. */
    uint64_t now = slot->word;
    return MUTANT(no_recheck_wait) || (flies(now) && generation_of(now) == generation_of(word));
}

struct flight_ticket flight_join(struct flights *flights, struct flight_key key, int proc, struct tags *tags,
                                 const uint32_t *tag_slots, int tag_count, bool wait)
{
    struct flight_ticket ticket = {.key = key, .slot = (uint32_t)(key.hash % SLOTS)};
    while (!try_join(&flights->slots[ticket.slot], &ticket, proc, tags, tag_slots, tag_count, wait)) {
    }
    return ticket;
}

bool flight_take_over(struct flights *flights, struct flight_ticket *ticket, int proc, struct tags *tags)
{
    struct slot *slot = &flights->slots[ticket->slot];
    uint64_t word = slot->word;
    return state_of(word) == SLOT_RUN && generation_of(word) == ticket->generation &&
           claim(slot, word, ticket, proc, tags);
}

/* ---- waiting ---- */

enum flight_view flight_look(struct flights *flights, struct flight_ticket *ticket, int *status_out)
{
    const struct slot *slot = &flights->slots[ticket->slot];
    uint64_t word = slot->word;
    if (generation_of(word) != ticket->generation)
        return FLIGHT_GONE;
    switch (state_of(word)) {
    case SLOT_CLAIM:
    case SLOT_RUN:
        return FLIGHT_RUNNING;
    case SLOT_VALUE:
        return FLIGHT_HAS_VALUE;
    case SLOT_NONE:
        return FLIGHT_HAS_NONE;
    case SLOT_ERROR: {
        /* Who joined by the fragment alone has not seen the key; whose slot it is now, the word tells. */
        bool same = MUTANT(error_any_key) || (slot->hash == ticket->key.hash && slot->check == ticket->key.check);
        ticket->born_seq = slot->born_seq;
        *status_out = status_of(word);
        return same && slot->word == word ? FLIGHT_HAS_FAILED : FLIGHT_GONE;
    }
    case SLOT_FREE:
    case SLOT_ORPHAN:
        break;
    }
    return FLIGHT_GONE;
}

void flight_leave(struct flights *flights, const struct flight_ticket *ticket, int proc)
{
    rowset_remove(&flights->slots[ticket->slot].waiters, proc);
}

/* ---- ending ---- */

static enum slot_state state_after(enum flight_end end)
{
    switch (end) {
    case FLIGHT_VALUE:
        return SLOT_VALUE;
    case FLIGHT_NONE:
        return SLOT_NONE;
    case FLIGHT_ERROR:
        break;
    }
    return SLOT_ERROR;
}

void flight_finish(struct flights *flights, const struct flight_ticket *ticket, int proc, enum flight_end end,
                   int status, const int *wake_fd)
{
    struct slot *slot = &flights->slots[ticket->slot];
    uint64_t mine = make_word(ticket->generation, proc, SLOT_RUN, 0, ticket->key.hash);
    if (!change(slot, mine, make_word(ticket->generation, proc, state_after(end), status, ticket->key.hash)))
        return;
    FAULT(flight_ended);
    rowset_wake(&slot->waiters, wake_fd);
}

void flight_reap(struct flights *flights, int proc)
{
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &flights->slots[i];
        uint64_t word = slot->word;
        rowset_remove(&slot->waiters, proc); /* the next process of this row begins without */
        if (flies(word) && owner_of(word) == proc && !MUTANT(no_orphans))
            change(slot, word, make_word(generation_of(word), proc, SLOT_ORPHAN, 0, 0));
    }
}
