/* What a worker tells about itself four times a second: its heartbeat and every gauge of the statistics. */
#ifndef WORKER_GAUGES_H
#define WORKER_GAUGES_H

#include "worker/service.h"

void gauges_write(struct service *service, int connections, enum proc_state state);

#endif
