/* A request of a consumer as one to an upstream, and the upstream's answer as one to the consumer. What passes is what
 * the route's target, `forward` and `take` name, and nothing else. */
#ifndef WORKER_UPSTREAM_CALL_H
#define WORKER_UPSTREAM_CALL_H

#include "worker/request.h"
#include "worker/upstream.h"

/* While the consumer is there: makes r->outgoing. False: r->problem has an entry for each parameter that the target
 * cannot take. */
bool upstream_call_prepare(struct request *r) MUST_USE;
/* The request carries credentials that are passed on: its answer is nobody else's. */
bool upstream_call_is_personal(const struct request *r);
/* key with what else tells its answer from others': the fields that are passed on. */
struct slice upstream_call_key(const struct request *r, struct slice key);

/* Its upstream gets r->outgoing. */
struct upstream_job *upstream_call_run(struct request *r, upstream_done *done, void *arg);

struct upstream_answer {
    int status;
    struct slice head; /* in the request's arena */
    bool personal;     /* it sets a cookie */
};
/* True: the upstream's answer, whatever its status, is the consumer's. False: r->problem says what instead. */
bool upstream_call_answer(struct request *r, const struct upstream_outcome *outcome,
                          struct upstream_answer *out) MUST_USE;

#endif
