/* Statistics that nobody else sees, for tests. */
#ifndef TESTS_UNIT_STATS_FIXTURE_H
#define TESTS_UNIT_STATS_FIXTURE_H

#include "shm/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline struct stats *make_stats(int slots)
{
    struct err err;
    char folder[] = "/tmp/perfd-stats.XXXXXX", path[64];
    if (mkdtemp(folder) == NULL)
        fail_msg("no folder");
    snprintf(path, sizeof path, "%s/perfd.stats", folder);
    struct stats *stats = stats_create(path, slots, 4, &err);
    if (stats == NULL)
        fail_msg("%s", err.text);
    unlink(path);
    rmdir(folder);
    return stats;
}

static inline int64_t times_seen(const struct stats *stats, enum stat_hist hist)
{
    struct histogram sum;
    stats_hist_sum(stats, hist, &sum);
    return (int64_t)histogram_count(&sum);
}

#endif
