/* A snapshot as JSON, for who draws it: the live page and programs that ask the admin listener. The figures are those
 * of `perfctl stats`, `routes`, `slow` and `events`, under the same names and in the same units (us, bytes); histograms
 * come with their buckets, so that a reader can take one answer from a later one and has the quantiles of the time
 * between. */
#ifndef SHM_STATS_JSON_H
#define SHM_STATS_JSON_H

#include "common/buf.h"
#include "shm/snapshot.h"

/* The latest of each that are told. */
enum { STATS_JSON_SLOW = 20, STATS_JSON_EVENTS = 20 };

/* "schema": "perfd.stats/1". Of a slot what is zero is left out. Slow queries come without their parameters, whoever
 * may read the file. */
void stats_json_write(struct buf *out, const struct snapshot *s, const struct stats_view *view);
/* "schema": "perfd.history/1": the last minute by the second and the last hour by the minute (history.h). */
void stats_json_write_history(struct buf *out, const struct stats_view *view);

#endif
