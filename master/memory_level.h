/* How short memory is, decided anew with each sample, one a second: up at once, down only when things are well below
 * for a while. */
#ifndef MASTER_MEMORY_LEVEL_H
#define MASTER_MEMORY_LEVEL_H

#include "shm/memory.h"
#include "shm/pressure.h"

enum {
    MEMORY_HYSTERESIS_PERCENT = 5,
    MEMORY_CALM_SAMPLES = 5,   /* so many below before the level falls */
    MEMORY_SHRINK_SAMPLES = 3, /* so many the cache has to shrink in before misses are refused */
    /* Of PSI: who waits for a fifth of its time is slow; where all do for a twentieth, the machine thrashes. */
    MEMORY_SOME_PERCENT = 20,
    MEMORY_FULL_PERCENT = 5
};

struct memory_level_rules {
    int alert_percent, shed_percent; /* 0: off */
};

/* Zeroed: calm. */
struct memory_level_state {
    enum memory_level level;
    int below; /* samples in a row */
    int over;  /* samples since the cache was told to shrink */
};

double memory_percent(const struct memory_use *use);
/* cache_has_given: all that it was asked for, or could. */
enum memory_level memory_level_next(struct memory_level_state *state, const struct memory_level_rules *rules,
                                    const struct memory_use *use, bool cache_has_given);

#endif
