/* What a reader of a statistics file sees, for tests. */
#ifndef TESTS_UNIT_SHM_VIEWS_H
#define TESTS_UNIT_SHM_VIEWS_H

#include "shm/snapshot.h"

static inline struct snapshot *snapshot_of(const char *file)
{
    struct err err;
    struct stats_view *view = stats_view_open(file, &err);
    if (view == NULL)
        fail_msg("%s", err.text);
    struct snapshot *s = snapshot_take(view, 1);
    stats_view_close(&view);
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
