/* Single flight over all processes: one fetch a key, the rest wait. A key has one home slot; while another key flies
 * there, it fetches unshared. Nothing here takes a lock or waits: a slot is one word that changes by compare-and-swap
 * {generation, owner, state, fragment of the key, status}, and what else it tells is written by the owner before the
 * word says RUN. tests/model/flight.pml is its model. */
#ifndef SHM_FLIGHT_H
#define SHM_FLIGHT_H

#include "common/base.h"
#include "shm/board.h"
#include "shm/tags.h"

enum { FLIGHT_BYTES = 64 }; /* of a slot */

struct flights;

struct flight_key {
    uint64_t hash, check; /* 128 bits together stand for the whole key */
};

enum flight_role {
    FLIGHT_OWNER,   /* fetch, then flight_finish(). Look into the cache once more before fetching*. */
    FLIGHT_WAITER,  /* park; wake_fd[proc] tells when to call flight_look(), then flight_leave() */
    FLIGHT_UNSHARED /* the slot is another key's: fetch alone, finish nothing */
};

struct flight_ticket {
    struct flight_key key;
    uint64_t born_seq; /* the flight's, or later: an owner stores its value with it, a waiter takes none born earlier */
    uint32_t slot, generation;
    enum flight_role role;
};

enum flight_end { FLIGHT_VALUE, FLIGHT_NONE, FLIGHT_ERROR };

enum flight_view {
    FLIGHT_RUNNING,    /* wait on */
    FLIGHT_HAS_VALUE,  /* look into the cache */
    FLIGHT_HAS_NONE,   /* fetch alone */
    FLIGHT_HAS_FAILED, /* answer *status_out, if no tag was raised since the ticket's born_seq */
    FLIGHT_GONE        /* its owner died, or the slot has flown on: look into the cache, then join again */
};

size_t flights_bytes(void); /* of the control segment */

/* The slot when it is free, or when the flight of this key there is doomed: one of its tags was raised since it began.
 * wait: else become a waiter if the key is the same. Without it the role is FLIGHT_OWNER or FLIGHT_UNSHARED. */
struct flight_ticket flight_join(struct flights *flights, struct flight_key key, int proc, struct tags *tags,
                                 const uint32_t *tag_slots, int tag_count, bool wait) MUST_USE;
/* FLIGHT_HAS_FAILED sets the ticket's born_seq, which who joined before the owner had told its own did not know. */
enum flight_view flight_look(struct flights *flights, struct flight_ticket *ticket, int *status_out) MUST_USE;
/* A waiter whose deadline is over makes the flight its own, whatever the owner does. False: it has ended or changed
 * hands: look again. */
bool flight_take_over(struct flights *flights, struct flight_ticket *ticket, int proc, struct tags *tags) MUST_USE;
/* No request of this process waits in the slot any more. */
void flight_leave(struct flights *flights, const struct flight_ticket *ticket, int proc);
/* The owner's end, after its value is in the cache. Wakes the waiting processes by their eventfds. Nothing happens when
 * the flight is no longer ours. status: of FLIGHT_ERROR, 0 .. 1023. */
void flight_finish(struct flights *flights, const struct flight_ticket *ticket, int proc, enum flight_end end,
                   int status, const int *wake_fd);
/* The master, after waitpid() of the process that had row proc; it wakes every process afterwards*. */
void flight_reap(struct flights *flights, int proc);

#endif
