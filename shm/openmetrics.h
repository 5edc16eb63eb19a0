/* A snapshot as text in the format of OpenMetrics 1.0 (the CNCF's specification; RFC draft-richih-opsawg-openmetrics):
 * base units, _total on counters, le in seconds at powers of two of a microsecond. Each metric is perfd_ and its name
 * in stats.def; those of a worker are labelled with its slot, those of a route with the route. */
#ifndef SHM_OPENMETRICS_H
#define SHM_OPENMETRICS_H

#include "common/buf.h"
#include "shm/snapshot.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

void openmetrics_write(struct buf *out, const struct snapshot *s);

/* The same samples in the older format of Prometheus (its "Exposition formats", version 0.0.4), which knows neither
 * units, nor infos, nor an end, and calls a counter by its whole name. */
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void openmetrics_write_prometheus(struct buf *out, const struct snapshot *s);

#endif
