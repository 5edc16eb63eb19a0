/* Each second: what memory the workers and the system have, and what follows from it. Workers that have grown too large
 * are replaced or killed (memory_growth.h); what the system does is memory_system.h's. */
#ifndef MASTER_MEMORY_WATCH_H
#define MASTER_MEMORY_WATCH_H

#include "master/memory_growth.h"
#include "master/memory_system.h"
#include "master/workers.h"

struct memory_watch {
    struct memory_system system;
    struct growth growth;
    struct growth_of of[BOARD_ROWS]; /* by the row of the board */
    int64_t second_us;               /* tests make it shorter: $PERFD_MEMORY_SECOND, in milliseconds */
    int64_t next_us;
};

void memory_watch_init(struct memory_watch *watch, const struct shared *shared);
/* What is due by now_us; when more is. Nobody is replaced while a reload rolls. */
int64_t memory_watch_step(struct memory_watch *watch, struct workers *workers, const struct generation *generation,
                          int64_t now_us);

#endif
