/* Requests of this worker that wait for another request's fetch, here or in another worker. */
#ifndef WORKER_PARK_H
#define WORKER_PARK_H

#include "shm/flight.h"
#include "worker/service.h"

struct park;

/* LATE: the deadline is over and the owner has not ended. GONE: there is no such flight any more. */
enum park_end { PARK_VALUE, PARK_NONE, PARK_ERROR, PARK_GONE, PARK_LATE };

struct parked {
    struct flight_ticket ticket;
    int64_t since_us; /* set by park_add() */
    int64_t deadline_us;
    /* Comes from the loop, exactly once. status: of PARK_ERROR. */
    void (*ended)(struct parked *parked, enum park_end end, int status);
    struct parked *next, *prev;
};

struct park *park_create(struct service *service) MUST_USE;
void park_destroy(struct park **park); /* whoever still waits is forgotten */
/* False: so many wait already that one more would only wait for nothing. */
bool park_add(struct park *park, struct parked *parked) MUST_USE;
int park_count(const struct park *park);

#endif
