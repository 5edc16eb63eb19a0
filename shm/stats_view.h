/* A statistics file as who reads it sees it, written by this perfd, an older or a newer one: what the file says of
 * itself is checked, then believed. Nothing here writes or waits. */
#ifndef SHM_STATS_VIEW_H
#define SHM_STATS_VIEW_H

#include "shm/stats.h"

struct stats_view;

/* A file that is cut short while it is read is a SIGBUS. */
struct stats_view *stats_view_open(const char *path, struct err *err) MUST_USE;
void stats_view_close(struct stats_view **view);
/* Whether its path still names it: false once another perfd has started there. */
bool stats_view_is_current(const struct stats_view *view);

int64_t stats_view_started_us(const struct stats_view *view); /* wall clock; tells two lives of a server apart */
int stats_view_master_pid(const struct stats_view *view);
const char *stats_view_version(const struct stats_view *view);
const char *stats_view_conf(const struct stats_view *view); /* the configuration's absolute path; "" if not known */
/* NULL: the file has none, or of other records. Of slots also where stats_view_value() counts them from. */
const void *stats_view_section(const struct stats_view *view, enum stats_section section);
const struct heavy *stats_view_slot_section(const struct stats_view *view, int slot, enum stats_slot_section section);

/* Its metrics, which may be more, fewer and in another order than stats.def's; the texts live as long as the view. */
struct stat_list stats_view_list(const struct stats_view *view, enum stats_scope scope);

int stats_view_slots(struct stats_view *view);                             /* of workers, by now: it may have grown */
int stats_view_routes(const struct stats_view *view);                      /* rows in use, by now */
const char *stats_view_route_name(const struct stats_view *view, int row); /* at most STATS_ROUTE_NAME_MAX - 1 bytes */
/* index is that of a metric in its list. Slots from STATS_KEEPER to those of stats_view_slots(). */
int64_t stats_view_value(const struct stats_view *view, int slot, int index);
int64_t stats_view_route_value(const struct stats_view *view, int slot, int row, int index);
/* Adds its buckets to sum; whether there are any. */
bool stats_view_add_hist(const struct stats_view *view, int slot, int index, struct histogram *sum);
bool stats_view_add_route_hist(const struct stats_view *view, int slot, int row, int index, struct histogram *sum);

#endif
