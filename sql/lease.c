#include "sql/lease.h"
#include "sql/pool.h"

#include <stdlib.h>

void leases_add(struct leases *leases, const struct pool_work *work)
{
    if (work->lease == NULL)
        return;
    if (leases->count == leases->cap) {
        leases->cap = MAX(2 * leases->cap, 4);
        leases->at = xrealloc(leases->at, (size_t)leases->cap * sizeof(struct lease *));
    }
    leases->at[leases->count++] = work->lease;
    leases->run_us += work->timeout_us * work->statement_count;
    lease_hold(work->lease);
}

void leases_end(struct leases *leases)
{
    struct leases ended = *leases;
    *leases = (struct leases){0};
    for (int i = 0; i < ended.count; i++)
        lease_release(ended.at[i]);
    free(ended.at);
}
