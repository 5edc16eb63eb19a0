/* What the admin's listener tells of the statistics: /metrics in the format of OpenMetrics, or in that of Prometheus
 * for who prefers it; /stats and /history as JSON (stats_json.h). The file is read by a thread (offload.h), as any
 * other reader of it would: a snapshot of many routes is megabytes, too much for the loop. */
#ifndef WORKER_FIGURES_H
#define WORKER_FIGURES_H

#include "worker/request.h"

/* Each ends the request, later. */
void figures_metrics(struct request *r);
void figures_stats(struct request *r);
void figures_history(struct request *r);

#endif
