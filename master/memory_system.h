/* Watches the memory of the machine and of perfd's control groups: says when it is short, has the cache give memory
 * back and workers refuse misses, and takes all of that back when there is room again. */
#ifndef MASTER_MEMORY_SYSTEM_H
#define MASTER_MEMORY_SYSTEM_H

#include "common/conf.h"
#include "master/memory_level.h"
#include "shm/shared.h"

struct memory_system {
    struct memory_level_state state;
    int roomy; /* samples in a row in which the cache could have more */
};

/* As the master that is being taken over from left it. */
void memory_system_init(struct memory_system *system, const struct shared *shared);
/* One sample, a second after the last. */
void memory_system_sample(struct memory_system *system, const struct conf *conf, struct shared *shared);

#endif
