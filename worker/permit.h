/* Permits (shm/permits.h) for this worker's statements, and the line of the requests that wait for one. A request asks
 * before it goes to the database or upstream, where its route or all routes together have a limit (max_concurrent).
 * What the cache answers, who waits for another's fetch, health and admin never come here.
 *
 * A permit is given back when its request has let go of it and PostgreSQL is done with all statements that ran on it
 * (sql/lease.h), whatever became of their consumers. */
#ifndef WORKER_PERMIT_H
#define WORKER_PERMIT_H

#include "sql/lease.h"

struct permit_desk;
struct request;
struct route;
struct service;

struct permit {
    struct lease lease;
    struct permit_desk *desk;
    int rows[2], row_count; /* the limits that it counts for */
};

/* One who waits, where its request keeps it. */
struct permit_waiter {
    struct request *r;
    void (*turn)(void *arg, bool have); /* from the loop, exactly once; have: r->permit is set */
    void *arg;
    int64_t since_us, until_us;
    bool for_all; /* what it lacks is the permit of all routes together, else its route's */
    struct permit_waiter *next;
};

struct permit_desk *permit_desk_create(struct service *service) MUST_USE;
void permit_desk_destroy(struct permit_desk **desk); /* whoever still waits is forgotten; no permit is out */

/* True: r->permit is set, or the route needs none. False: there is none now, or others wait for it. */
bool permit_ready(struct request *r) MUST_USE;
/* After that, for as long as permit_wait says. False: too many wait already. */
bool permit_wait(struct permit_waiter *waiter) MUST_USE;
/* What a request without a permit is answered: r->problem. */
void permit_refuse(struct request *r);
/* The request's own hold. */
void permit_put(struct request *r);

/* Another process may have given back what somebody here waits for. */
void permit_look(struct permit_desk *desk);
int permit_held(const struct permit_desk *desk);
int permit_waiting(const struct permit_desk *desk);

#endif
