/* What a new configuration needs besides new workers, and what can fail of it: sockets, the error log, room in the
 * statistics, a cache of another size. Made before the first of them is started, in force when the last one is ready.
 */
#ifndef MASTER_STAGE_H
#define MASTER_STAGE_H

#include "master/generation.h"
#include "master/listeners.h"
#include "shm/shared.h"

struct stage {
    struct listeners *listeners;
    struct shared *shared;
    int *error_log_fd; /* the master's; -1: standard error */
};

/* False: nothing has changed, err tells what cannot be had, and where the file asks for it. */
bool stage_begin(const struct stage *stage, const struct conf *now, struct generation *next, struct err *err) MUST_USE;
void stage_undo(const struct stage *stage, struct generation *next);
/* Workers are to be woken: sockets that they have listen from now on. */
void stage_force(const struct stage *stage, struct generation *next, int64_t now_us);

#endif
