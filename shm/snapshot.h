/* All figures of a statistics file at one moment, copied: what perfctl prints, and the admin listener answers. Each
 * counter only grows while a server lives, so that one less an earlier one of the same life, a window, has no negative
 * figure. Figures that belong together may be some events apart: the server is not stopped for them. */
#ifndef SHM_SNAPSHOT_H
#define SHM_SNAPSHOT_H

#include "shm/heavy.h"
#include "shm/stats_view.h"

struct snapshot {
    int64_t at_us;      /* wall clock */
    int64_t span_us;    /* of time that it is of: since the start, or a window */
    int64_t started_us; /* wall clock; of two lives of a server it is not the same */
    int master_pid;
    char version[16];
    int slots, routes;
    struct stat_list lists[STATS_SCOPES]; /* its metrics: those of the file */
    struct stat_info *infos;              /* what they are in, and behind them their texts */
    route_name *names;
    int64_t *values;                                 /* by slot, the keeper's first */
    int64_t *route_values;                           /* by row, over slots */
    struct histogram **hists;                        /* by slot; NULL: empty */
    struct histogram **route_hists;                  /* by row, over slots */
    struct heavy_summary *heavy[SLOT_SECTION_COUNT]; /* by slot; NULL: the file has none */
    int index_of_stat[STAT_COUNT], index_of_route_stat[ROUTE_STAT_COUNT], index_of_hist[HIST_COUNT],
        index_of_route_hist[ROUTE_HIST_COUNT]; /* -1: the file does not have it */
};

/* All of it zero, for who fills it; copies the lists. */
struct snapshot *snapshot_create(int slots, int routes, const struct stat_list lists[STATS_SCOPES]) MUST_USE;
struct snapshot *snapshot_take(struct stats_view *view, int64_t now_us) MUST_USE;
/* What came between the two: counters and histograms are differences, gauges the later's. NULL: they are of two lives,
 * or in the wrong order; err says so. */
struct snapshot *snapshot_between(const struct snapshot *earlier, const struct snapshot *later,
                                  struct err *err) MUST_USE;
void snapshot_destroy(struct snapshot **snapshot);

/* Zero where the file does not have it; then snapshot_has() is false. */
bool snapshot_has(const struct snapshot *s, enum metric stat);
int64_t snapshot_get(const struct snapshot *s, int slot, enum metric stat);
int64_t snapshot_sum(const struct snapshot *s, enum metric stat); /* over slots, by its aggregation: sum or max */
int64_t snapshot_route(const struct snapshot *s, int row, enum route_stat stat);
/* Never NULL. */
const struct histogram *snapshot_slot_hist(const struct snapshot *s, int slot, enum stat_hist hist);
const struct histogram *snapshot_route_hist(const struct snapshot *s, int row, enum route_hist hist);
void snapshot_hist(const struct snapshot *s, enum stat_hist hist, struct histogram *sum_out);
/* What came most often, over slots; the caller frees it. NULL: the file has none. */
struct heavy_list *snapshot_heavy(const struct snapshot *s, enum stats_slot_section what) MUST_USE;

/* The same by the index in its list. */
int64_t snapshot_get_at(const struct snapshot *s, int slot, int index);
int64_t snapshot_sum_at(const struct snapshot *s, int index);
int64_t snapshot_route_at(const struct snapshot *s, int row, int index);
void snapshot_hist_at(const struct snapshot *s, int index, struct histogram *sum_out);
const struct histogram *snapshot_route_hist_at(const struct snapshot *s, int row, int index);

#endif
