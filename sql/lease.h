/* What its owner gets back only when PostgreSQL is done with every statement that ran on it: a permit, whose number
 * says how many statements run. An answer that nobody waits for any more is no end: the statement goes on until its
 * cancel arrives. Counted, as a statement may be sent again while its first sending is still to end. */
#ifndef SQL_LEASE_H
#define SQL_LEASE_H

#include "common/base.h"

struct lease {
    int holds;
    void (*ended)(struct lease *lease); /* nobody holds it any more: it may be freed */
};

struct pool_work;

/* NULL is no lease. */
static inline void lease_hold(struct lease *lease)
{
    if (lease != NULL)
        lease->holds++;
}

static inline void lease_release(struct lease *lease)
{
    if (lease != NULL && --lease->holds == 0)
        lease->ended(lease);
}

/* Those of statements that were sent and that nobody waits for. Zeroed: none. */
struct leases {
    struct lease **at;
    int count, cap;
    int64_t run_us; /* what the statements may take, one after the other */
};

void leases_add(struct leases *leases, const struct pool_work *work); /* its own, if it has one */
void leases_end(struct leases *leases);

#endif
