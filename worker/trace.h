/* Which trace of a distributed system a request belongs to: https://www.w3.org/TR/trace-context/ */
#ifndef WORKER_TRACE_H
#define WORKER_TRACE_H

#include "common/slice.h"

/* The 32 digits of a well-formed traceparent field's trace-id; empty: it is none. */
struct slice trace_id(struct slice traceparent);

#endif
