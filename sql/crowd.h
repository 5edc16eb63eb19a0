/* Who waits in the pool's lines, by statement: so that one that comes too often for its own good does not keep the
 * others out. When the lines are full, the newest of the largest crowd gives way (longest queue drop: Suter et al.,
 * INFOCOM 1998), so that each route may use all the room that the others leave. */
#ifndef SQL_CROWD_H
#define SQL_CROWD_H

#include "common/base.h"

struct job;

struct crowd {
    struct job *oldest, *newest; /* in order of coming */
    int count;
};

struct crowds {
    struct crowd *at; /* by the id of the job's first statement */
    uint32_t count;
};

void crowds_deinit(struct crowds *crowds);
/* Into its crowd, at the new end or, one that runs again, at the old one. */
void crowds_join(struct crowds *crowds, struct job *job, bool first);
void crowds_leave(struct crowds *crowds, struct job *job);
/* Which of those that wait gives way to this one, which does not wait yet. NULL: none, its own crowd is large enough.
 */
struct job *crowds_yield(const struct crowds *crowds, const struct job *job);

#endif
