/* /healthz: this worker answers. /readyz: it can do its work, that is, the database answers and it does not drain.
 * Both stand on the admin's listener, and on the consumers' unless a route takes the path. */
#ifndef WORKER_HEALTH_H
#define WORKER_HEALTH_H

#include "worker/request.h"

/* False: neither of the two paths; nothing was answered. */
bool health_answer(struct request *r) MUST_USE;

#endif
