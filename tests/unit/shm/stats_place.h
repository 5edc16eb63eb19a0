/* A statistics file of two workers and three routes in a folder of its own, for tests: setup and teardown of cmocka. */
#ifndef TESTS_UNIT_SHM_STATS_PLACE_H
#define TESTS_UNIT_SHM_STATS_PLACE_H

#include "shm/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[96];

static inline int make_stats(void **state)
{
    struct err err;
    snprintf(folder, sizeof folder, "/tmp/perfd-stats.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/perfd.stats", folder);
    *state = stats_create(path, 2, 3, &err);
    return *state == NULL;
}

static inline int remove_stats(void **state)
{
    struct stats *stats = *state;
    stats_close(&stats);
    unlink(path);
    return rmdir(folder);
}

#endif
