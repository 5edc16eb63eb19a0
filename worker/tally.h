/* Which keys are asked for most, and which consumers ask most for a route with a key in its path: summaries in the
 * statistics file (shm/heavy.h). One hit in TALLY_HIT_SHARE counts for so many, at random, and one of the answers that
 * cost more in TALLY_MISS_SHARE: each one would cost a hit a tenth of its time. */
#ifndef WORKER_TALLY_H
#define WORKER_TALLY_H

#include "worker/request.h"

enum { TALLY_HIT_SHARE = 16, TALLY_MISS_SHARE = 4 };

/* A request that has a route is being answered. MODE=bare counts nothing. */
#ifndef PERFD_NO_STATS
void tally_add(const struct request *request, int status);
#else
static inline void tally_add(const struct request *request, int status)
{
    (void)request, (void)status;
}
#endif

#endif
