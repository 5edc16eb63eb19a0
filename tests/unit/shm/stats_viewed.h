/* The file of stats_place.h, and a reader that has opened it: setup and teardown of cmocka. */
#ifndef TESTS_UNIT_SHM_STATS_VIEWED_H
#define TESTS_UNIT_SHM_STATS_VIEWED_H

#include "shm/stats_view.h"
#include "tests/unit/shm/stats_place.h"

static struct stats_view *view;

static inline int make_viewed(void **state)
{
    struct err err;
    if (make_stats(state) != 0)
        return 1;
    view = stats_view_open(path, &err);
    return view == NULL;
}

static inline int remove_viewed(void **state)
{
    stats_view_close(&view);
    return remove_stats(state);
}

#endif
