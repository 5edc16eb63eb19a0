/* A request of a consumer as one to an upstream, and the upstream's answer as one to the consumer. What passes is what
 * the route's target, `forward` and `take` name, and nothing else. */
#ifndef WORKER_UPSTREAM_CALL_H
#define WORKER_UPSTREAM_CALL_H

#include "worker/request.h"
#include "worker/upstream.h"

/* While the consumer is there: makes r->outgoing. False: r->problem has an entry for each parameter that the target
 * cannot take. */
bool upstream_call_prepare(struct request *r) MUST_USE;
/* While the consumer is there: makes r->forwarded and r->personal, once. */
void upstream_call_read_fields(struct request *r);
/* What a write to the same URI, or one that tells of it, makes stale: the slot of a tag. */
uint32_t upstream_call_tag(const struct request *r);

/* Whether an answer that is known still holds (RFC 9110 13.1); at NULL: not asked. */
struct upstream_conditions {
    struct slice etag, modified;
};
/* Its upstream gets r->outgoing, with these conditions. */
struct upstream_job *upstream_call_run(struct request *r, const struct upstream_conditions *conditions,
                                       upstream_done *done, void *arg);

struct upstream_answer {
    int status;
    struct slice head;      /* for the consumer; in the request's arena, as the following */
    struct slice kept_head; /* for all others: without cookies */
    struct slice fields;    /* that tell what may be kept: lines of field_lines.h */
};
/* What it says, whatever it was asked. */
void upstream_call_read(struct request *r, const struct upstream_outcome *outcome, struct upstream_answer *out);
/* True: the upstream's answer, whatever its status, is the consumer's. False: r->problem says what instead. */
bool upstream_call_answer(struct request *r, const struct upstream_outcome *outcome,
                          struct upstream_answer *out) MUST_USE;

#endif
