/* What is known of the cache, route by route. */
#ifndef MASTER_CTL_CACHE_H
#define MASTER_CTL_CACHE_H

#include "shm/snapshot.h"

struct cache_column {
    enum route_stat stat;
    const char *title;
};
enum {
#define CACHE_COLUMN(stat, title, rank) CACHE_COLUMN_##stat,
#include "master/ctl/cache_columns.def"
#undef CACHE_COLUMN
    CACHE_COLUMNS
};
extern const struct cache_column cache_columns[CACHE_COLUMNS];

/* A route that is not cached has nothing of all that. */
bool cache_has_route(const struct snapshot *s, int row);
/* How many looked for an answer in shared memory, and how many of them were answered by a fresh one. */
void cache_read_lookups(const struct snapshot *s, int row, int64_t *hits_out, int64_t *lookups_out);

#endif
