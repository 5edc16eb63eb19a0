/* Single flight over all workers: one fetch a key, the rest wait. */
#ifndef SHM_FLIGHT_H
#define SHM_FLIGHT_H

#include "common/err.h"
#include "shm/board.h"

struct flights;

enum flight_role {
    FLIGHT_OWNER,   /* fetch, then flight_finish(). Look into the cache once more before fetching. */
    FLIGHT_WAITER,  /* park; wake_fd[proc] tells when to call flight_look() */
    FLIGHT_UNSHARED /* the slot is another key's, or a lock could not be had: fetch alone, finish nothing */
};

struct flight_ticket {
    uint32_t slot;
    uint32_t generation;
    uint64_t born_seq; /* the flight's: a waiter takes only an entry whose born_seq is at least this */
    enum flight_role role;
};

enum flight_end { FLIGHT_VALUE, FLIGHT_NONE, FLIGHT_ERROR };

enum flight_view {
    FLIGHT_RUNNING, /* wait on */
    FLIGHT_ENDED,   /* end_out tells how: VALUE: look into the cache; NONE: fetch alone; ERROR: answer status_out */
    FLIGHT_ORPHAN,  /* the owner died, or another key has the slot: join again */
};

/* Before the first fork. A flight is its owner's for as long as the owner's row stands on the board. */
struct flights *flights_create(const struct board *board, struct err *err) MUST_USE;
void flights_destroy(struct flights **flights); /* this process's mapping */

/* tags_ok tells a waiter-to-be whether its tags are all <= the running flight's born_seq (else it fetches unshared). */
struct flight_ticket flight_join(struct flights *flights, uint64_t key_hash, int proc, uint64_t born_seq,
                                 bool (*tags_ok)(void *arg, uint64_t flight_born_seq), void *arg);
enum flight_view flight_look(struct flights *flights, const struct flight_ticket *ticket, uint64_t key_hash,
                             enum flight_end *end_out, int *status_out);
/* The owner's end. Wakes the waiting processes by their eventfd. Nothing happens when the flight is no longer ours.
 * False: the slot's lock could not be had; call it again a little later. */
bool flight_finish(struct flights *flights, const struct flight_ticket *ticket, int proc, enum flight_end end,
                   int status, const int *wake_fd) MUST_USE;

#endif
