/* The statistics file as it lies on the disk: for the files of stats.h and stats_view.h alone. In this order: the head,
 * what it describes, the names of routes, the sections, the slots. */
#ifndef SHM_STATS_LAYOUT_H
#define SHM_STATS_LAYOUT_H

#include "shm/stats.h"

#define STATS_MAGIC UINT64_C(0x3174617464667270) /* "prfdtat1" */
enum { STATS_FORMAT = 7, STATS_SLOTS_MAX = 128, STATS_ROUTES_MAX = 4096, STATS_METRICS_MAX = 1024 };
enum { CONF_PATH_BYTES = 1024 };
enum { METRICS_TOTAL = STAT_COUNT + ROUTE_STAT_COUNT + HIST_COUNT + ROUTE_HIST_COUNT };

/* One metric, so that a reader that knows it not, or another one of its name, can read it. */
struct description {
    char name[32], unit[16], help[96];
    uint8_t counter, sum;
    uint8_t scope; /* enum stats_scope */
    uint8_t unused[5];
};

/* What is in the file once, not for each slot. A reader that expects records of another size, or another count of them,
 * leaves it alone. */
struct section {
    uint64_t at, bytes;
    uint32_t record_bytes, records;
    char name[16];
};

struct header {
    uint64_t magic;
    uint32_t format;
    uint32_t slots, routes_max;
    uint32_t counts[STATS_SCOPES]; /* of metrics */
    uint32_t buckets;
    uint64_t descriptions_at, names_at, slots_at, slot_bytes; /* slots are last: the file grows by them */
    char version[16];
    int64_t started_us;
    int32_t master_pid;
    _Atomic int32_t routes; /* rows in use */
    struct section sections[STATS_SECTIONS_MAX];
    struct section slot_sections[STATS_SLOT_SECTIONS_MAX]; /* `at` counts from the slot's first byte */
};

struct stats {
    struct header *header;
    size_t bytes;
    int slots;    /* that are mapped: the file may have grown since */
    int fd;       /* of who may write; -1: none */
    char *staged; /* the file's name for now; behind it stands ".new". NULL: it has its own */
};

/* Of a slot: metrics, those of routes by row, histograms, those of routes by row. Its sections come behind them. */
static inline uint64_t stats_metrics_bytes(const uint32_t counts[static STATS_SCOPES], uint32_t routes_max)
{
    return (counts[SCOPE_SLOT] + (uint64_t)routes_max * counts[SCOPE_ROUTE]) * sizeof(int64_t) +
           (counts[SCOPE_HIST] + (uint64_t)routes_max * counts[SCOPE_ROUTE_HIST]) * sizeof(struct histogram);
}

static inline uint64_t stats_total_bytes(const struct header *h, uint32_t slots)
{
    return h->slots_at + (slots + UINT64_C(1)) * h->slot_bytes;
}

#endif
