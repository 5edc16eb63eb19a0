/* Requests of this worker that wait for another request's fetch, here or in another worker. */
#ifndef WORKER_PARK_H
#define WORKER_PARK_H

#include "shm/flight.h"
#include "worker/service.h"

struct park;

enum park_end { PARK_VALUE, PARK_NONE, PARK_ERROR, PARK_ORPHAN, PARK_LATE };

struct parked {
    struct flight_ticket ticket;
    uint64_t key_hash;
    int64_t deadline_us;
    /* Comes from the loop, exactly once. status: of PARK_ERROR. */
    void (*ended)(struct parked *parked, enum park_end end, int status);
    struct parked *next, *prev;
};

struct park *park_create(struct service *service) MUST_USE;
void park_destroy(struct park **park); /* whoever still waits is forgotten */
void park_add(struct park *park, struct parked *parked);
/* flight_finish(), again and again while another process holds the slot's lock. */
void park_finish(struct park *park, const struct flight_ticket *ticket, enum flight_end end, int status);

#endif
