/* The history as it lies in a section of the statistics file: for the files of history.h alone. */
#ifndef SHM_HISTORY_LAYOUT_H
#define SHM_HISTORY_LAYOUT_H

#include "shm/history.h"

#include <stdatomic.h>

/* A moment. What a point has are differences between two, so that a writer that is gone leaves no hole in the counts.
 */
struct history_record {
    uint64_t number; /* the ring's */
    int64_t mono_us;
    struct history_point so_far; /* counts since the start; times are of what came since the record before */
};

struct history {
    _Atomic int64_t period;   /* the last one that was written; whoever raises it is the one who writes */
    _Atomic uint32_t current; /* which of the two is whole */
    uint32_t unused[13];
    struct histogram answers[2]; /* when the last record was written */
    /* a ring of records */
};

static const struct ring_shape history_shape = {HISTORY_RECORDS, sizeof(struct history_record)};

#endif
