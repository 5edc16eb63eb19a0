/* rate_limit: how often a consumer may ask. Counted is what the cache does not answer, before anything is done for it.
 */
#ifndef WORKER_RATE_H
#define WORKER_RATE_H

#include "worker/request.h"

/* False: answered with 429. Where the route has a limit, the answer will tell what is left of it
 * (draft-ietf-httpapi-ratelimit-headers-10). */
bool rate_passes(struct request *r) MUST_USE;

#endif
