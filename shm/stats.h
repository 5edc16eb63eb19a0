/* The statistics file, run_dir/perfd.stats: written by workers with relaxed atomic adds, mapped read-only by perfctl
 * (stats_view.h), never locked, readable while everything else is stopped. It describes itself: name, kind, unit,
 * aggregation and help of every metric come from stats.def and stand in the file. Slabs belong to worker slots, so
 * totals do not fall when a worker restarts. */
#ifndef SHM_STATS_H
#define SHM_STATS_H

#include "common/err.h"
#include "shm/histogram.h"

#include <sys/types.h>

enum { STATS_ROUTE_NAME_MAX = 120, STATS_KEEPER = -1 /* the keeper's slot, in front of the workers' */ };

typedef char route_name[STATS_ROUTE_NAME_MAX];

/* METRIC(name, kind, aggregation, unit, help) for a worker slot; ROUTE_METRIC the same for a route in a slot. */
enum metric {
#define METRIC(name, kind, aggregation, unit, help) STAT_##name,
#define ROUTE_METRIC(name, kind, aggregation, unit, help)
#define HISTOGRAM(name, unit, help)
#define ROUTE_HISTOGRAM(name, unit, help)
#include "shm/stats.def"
#undef METRIC
    STAT_COUNT
};
enum route_stat {
#define METRIC(name, kind, aggregation, unit, help)
#undef ROUTE_METRIC
#define ROUTE_METRIC(name, kind, aggregation, unit, help) ROUTE_STAT_##name,
#include "shm/stats.def"
#undef ROUTE_METRIC
    ROUTE_STAT_COUNT
};
enum stat_hist {
#define ROUTE_METRIC(name, kind, aggregation, unit, help)
#undef HISTOGRAM
#define HISTOGRAM(name, unit, help) HIST_##name,
#include "shm/stats.def"
#undef HISTOGRAM
    HIST_COUNT
};
enum route_hist {
#define HISTOGRAM(name, unit, help)
#undef ROUTE_HISTOGRAM
#define ROUTE_HISTOGRAM(name, unit, help) ROUTE_HIST_##name,
#include "shm/stats.def"
#undef ROUTE_HISTOGRAM
    ROUTE_HIST_COUNT
};
#undef METRIC
#undef ROUTE_METRIC
#undef HISTOGRAM

/* What a metric is counted for; histograms have a row of stats.def each, too. */
enum stats_scope { SCOPE_SLOT, SCOPE_ROUTE, SCOPE_HIST, SCOPE_ROUTE_HIST };
enum { STATS_SCOPES = 4, STATS_SECTIONS_MAX = 16, STATS_SLOT_SECTIONS_MAX = 8 };

/* What the file has once, each with records of its own: SECTION(name, bytes, record_bytes, records). */
enum stats_section {
#define SECTION(name, bytes, record_bytes, records) SECTION_##name,
#include "shm/stats_sections.def"
#undef SECTION
    SECTION_COUNT
};

/* The same for each slot: SLOT_SECTION(name, bytes, record_bytes, records). */
enum stats_slot_section {
#define SLOT_SECTION(name, bytes, record_bytes, records) SLOT_SECTION_##name,
#include "shm/stats_slot_sections.def"
#undef SLOT_SECTION
    SLOT_SECTION_COUNT
};

struct stats;
struct ring;
struct heavy;

/* A row of stats.def. */
struct stat_info {
    const char *name;
    bool counter; /* only grows; else a gauge */
    bool sum;     /* over slots; else the largest */
    const char *unit, *help;
};
extern const struct stat_info stat_infos[STAT_COUNT], route_stat_infos[ROUTE_STAT_COUNT], hist_infos[HIST_COUNT],
    route_hist_infos[ROUTE_HIST_COUNT];
/* The same by scope. */
struct stat_list {
    const struct stat_info *infos;
    int count;
};
extern const struct stat_list stat_lists[STATS_SCOPES];

/* Makes a new file beside path, its blocks allocated (a full disk is an error here, never a SIGBUS later). Its owner
 * and group may read it, nobody else: it tells keys and who asks. It takes the name by stats_show(), which is where
 * readers find it; one that is closed before is removed. */
struct stats *stats_stage(const char *path, int slots, int routes_max, struct err *err) MUST_USE;
bool stats_show(struct stats *stats, struct err *err) MUST_USE; /* nothing to do when it is shown */
/* Both. */
struct stats *stats_create(const char *path, int slots, int routes_max, struct err *err) MUST_USE;
/* Another perfd's, whose descriptor fd is; that is taken over. NULL: its layout is another, or it
 * cannot have so many slots: err says so; fd is left. */
struct stats *stats_attach(int fd, int slots, struct err *err) MUST_USE;
/* Has at least so many slots. The master only; other processes see those that there were when they began, and pointers
 * into it are void. False: nothing has changed. */
bool stats_grow(struct stats *stats, int slots, struct err *err) MUST_USE;
/* Another process: see those that the master has added since; pointers into it are void. Where that fails they stay
 * unseen. */
void stats_follow(struct stats *stats);
int stats_fd(const struct stats *stats);                                     /* -1: closed */
bool stats_give(struct stats *stats, gid_t group, struct err *err) MUST_USE; /* its group is this one */
void stats_close_fd(struct stats *stats);                                    /* in a process that hands it to nobody */
void stats_own(struct stats *stats);                                         /* this process is the master now */
void stats_set_conf(struct stats *stats, const char *path); /* for who looks into it later; the master only */
void stats_close(struct stats **stats);

/* The row of a route by its name, new if unknown; row 0 is "(other)" and takes what finds no room. The master only. */
int stats_route_row(struct stats *stats, const char *name);
/* Of the route that has the row in the configuration that came last: conf_route.version; 0: none. The master sets it.
 */
void stats_set_route_version(struct stats *stats, int row, uint64_t version);
uint64_t stats_route_version(const struct stats *stats, int row);

void stats_set(struct stats *stats, int slot, enum metric stat, int64_t value);
void stats_clear_gauges(struct stats *stats, int slot); /* its worker is gone */
void stats_route_set(struct stats *stats, int slot, int row, enum route_stat stat, int64_t value);
/* MODE=bare has none of these four: what they cost is measured against it (tests/bench/statistics). */
#ifndef PERFD_NO_STATS
void stats_add(struct stats *stats, int slot, enum metric stat, int64_t n);
void stats_route_add(struct stats *stats, int slot, int row, enum route_stat stat, int64_t n);
void stats_observe(struct stats *stats, int slot, enum stat_hist hist, int64_t us);
void stats_route_observe(struct stats *stats, int slot, int row, enum route_hist hist, int64_t us);
#else
#define stats_add(stats, slot, stat, n) ((void)(stats), (void)(slot), (void)(stat), (void)(n))
#define stats_route_add(stats, slot, row, stat, n) ((void)(stats), (void)(slot), (void)(row), (void)(stat), (void)(n))
#define stats_observe(stats, slot, hist, us) ((void)(stats), (void)(slot), (void)(hist), (void)(us))
#define stats_route_observe(stats, slot, row, hist, us)                                                                \
    ((void)(stats), (void)(slot), (void)(row), (void)(hist), (void)(us))
#endif

/* For who writes them; readers have stats_view.h and snapshot.h. */
int stats_slots(const struct stats *stats);  /* of workers */
int stats_routes(const struct stats *stats); /* rows in use */
const char *stats_route_name(const struct stats *stats, int row);
int64_t stats_get(const struct stats *stats, int slot, enum metric stat);
int64_t stats_sum(const struct stats *stats, enum metric stat); /* over slots, by its aggregation */
void stats_hist_sum(const struct stats *stats, enum stat_hist hist, struct histogram *sum_out);
int stats_master_pid(const struct stats *stats);
void *stats_section(const struct stats *stats, enum stats_section section);
struct heavy *stats_slot_section(const struct stats *stats, int slot, enum stats_slot_section section);
const char *stats_conf(const struct stats *stats);    /* the configuration's absolute path; "" if not known */
struct ring *stats_slow(const struct stats *stats);   /* slow.h's */
struct ring *stats_events(const struct stats *stats); /* events.h's */

#endif
