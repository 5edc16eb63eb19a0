/* Lookups of one route that meet become one query (`combine`): what comes in one turn of the loop, or while the others
 * wait for a connection; a few that need not wait stay apart. Each is answered as if it had been alone: a key without a
 * row is one lookup's 404, a time-out is that of its own request, and an error makes all run again, each by the route's
 * own statement. */
#ifndef WORKER_COMBINE_H
#define WORKER_COMBINE_H

#include "sql/pool.h"
#include "worker/request.h"

struct combine;
struct batch;

/* A lookup under way, where its request keeps it. */
struct combined {
    struct request *r;
    pool_done *done;
    void *arg;
    struct batch *batch;    /* NULL: it is alone */
    struct pool_job *alone; /* NULL: it is in a batch */
    int key;                /* of the batch's keys */
    int64_t joined_us;
    struct combined *next, *prev;
};

/* Of a route with one statement and one parameter; *next_id becomes its statement's. Lives as long as the route. */
struct combine *combine_create(struct route *route, uint32_t *next_id) MUST_USE;
/* The type of the route's parameter is known. */
void combine_describe(struct combine *c);

/* As pool_run() of rows_work(r). The struct is combine.c's until done() comes or combine_forget(). */
void combine_run(struct combine *c, struct combined *m, struct request *r, pool_done *done, void *arg);
/* As pool_forget(). */
void combine_forget(struct combined *m);

#endif
