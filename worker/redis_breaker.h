/* How long a Redis that failed is left alone before it is probed again. A server that refuses or ends costs nobody any
 * time: 100 ms, doubled up to a second. One that lets commands run into their time-outs, though its probes succeed,
 * costs each time the requests that wait just then: doubled up to half a minute, until it has been well for ten
 * seconds. */
#ifndef WORKER_REDIS_BREAKER_H
#define WORKER_REDIS_BREAKER_H

#include "common/base.h"

struct redis_breaker {
    int64_t probe_us, slow_us; /* the last pauses; 0: none since it was well */
    int64_t up_since_us;       /* 0: down */
};

void redis_breaker_up(struct redis_breaker *b, int64_t now_us); /* a probe succeeded */
/* The pause. slow: it is down because commands were not answered in time. */
int64_t redis_breaker_down(struct redis_breaker *b, bool slow, int64_t now_us);

#endif
