/* What a reader of a statistics file sees, for tests. */
#ifndef TESTS_UNIT_SHM_VIEWS_H
#define TESTS_UNIT_SHM_VIEWS_H

#include "shm/snapshot.h"

static inline struct snapshot *snapshot_of(const char *file)
{
    struct err err;
    struct stats_view *reader = stats_view_open(file, &err);
    if (reader == NULL)
        fail_msg("%s", err.text);
    struct snapshot *s = snapshot_take(reader, 1);
    stats_view_close(&reader);
    return s;
}

static inline int64_t sum_in(const char *file, enum metric stat)
{
    struct snapshot *s = snapshot_of(file);
    int64_t sum = snapshot_sum(s, stat);
    snapshot_destroy(&s);
    return sum;
}

#endif
