/* Idle connections of one upstream and when each ends: the one that was used last is taken first, so that those beyond
 * what is needed grow old and end. Pure bookkeeping; who owns the connections closes them. */
#ifndef WORKER_UPSTREAM_IDLE_H
#define WORKER_UPSTREAM_IDLE_H

#include "common/base.h"

/* In whoever owns the connection, and sets the first two. */
struct idle_conn {
    int64_t ends_us; /* not used any more from then on */
    int64_t most_us; /* that it may be idle, as its other end says; 0: that did not */
    int64_t since_us;
    struct idle_conn *older, *newer;
};

struct upstream_idle {
    struct idle_conn *newest, *oldest;
    int count, max;
    int64_t timeout_us;
};

void upstream_idle_init(struct upstream_idle *idle, int max, int64_t timeout_us);
/* Returns the one that must be closed for it, which may be itself; NULL: none. */
struct idle_conn *upstream_idle_put(struct upstream_idle *idle, struct idle_conn *conn, int64_t now_us) MUST_USE;
/* NULL: there is none whose time is not over. */
struct idle_conn *upstream_idle_take(struct upstream_idle *idle, int64_t now_us) MUST_USE;
/* Takes out one whose time is over; NULL: there is none left. */
struct idle_conn *upstream_idle_expired(struct upstream_idle *idle, int64_t now_us) MUST_USE;
void upstream_idle_remove(struct upstream_idle *idle, struct idle_conn *conn);
/* When the time of the next one is over; INT64_MAX: there is none. */
int64_t upstream_idle_next_us(const struct upstream_idle *idle);

#endif
