/* The statistics file as it lies on the disk: for the files of stats.h alone. */
#ifndef SHM_STATS_LAYOUT_H
#define SHM_STATS_LAYOUT_H

#include "shm/stats.h"

enum { CONF_PATH_BYTES = 1024 };
enum { METRICS_TOTAL = STAT_COUNT + ROUTE_STAT_COUNT + HIST_COUNT + ROUTE_HIST_COUNT };

/* What any reader needs to read the file without this header. */
struct description {
    char name[32], unit[16], help[96];
    uint8_t counter, sum;
    uint8_t scope; /* 0 slot, 1 route, 2 histogram of a slot, 3 histogram of a route */
    uint8_t unused[5];
};

struct header {
    uint64_t magic;
    uint32_t format;
    uint32_t slots, routes_max;
    uint32_t stats, route_stats, hists, route_hists, buckets;             /* of each kind in a slot, a route */
    uint64_t names_at, conf_at, slow_at, events_at, slots_at, slot_bytes; /* slots are last: the file grows by them */
    char version[16];
    int64_t started_us;
    int32_t master_pid;
    _Atomic int32_t routes; /* rows in use */
    struct description descriptions[METRICS_TOTAL];
};

struct stats {
    struct header *header;
    size_t bytes;
    int slots;    /* that are mapped: the file may have grown since */
    int fd;       /* of who may write; -1: none */
    char *staged; /* the file's name for now; behind it stands ".new". NULL: it has its own */
};

typedef char route_name[STATS_ROUTE_NAME_MAX];

#endif
