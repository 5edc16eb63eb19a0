/* When an upstream that fails is left alone, and how much may be sent to it again. Pure: time is an argument.
 *
 * After BREAKER_FAILURES in a row nothing is admitted for a while; then one request, the probe, shows whether it works
 * again. Each probe that fails doubles the while. */
#ifndef WORKER_UPSTREAM_BREAKER_H
#define WORKER_UPSTREAM_BREAKER_H

#include "common/clock.h"

enum { BREAKER_FAILURES = 5 };
#define BREAKER_LEAST_US (500 * US_PER_MS)
#define BREAKER_MOST_US (30 * US_PER_S)

struct breaker {
    int failures;     /* in a row */
    int64_t open_us;  /* how long it stays open; 0: it is closed */
    int64_t until_us; /* no probe before */
    bool probing;
};

enum breaker_says { BREAKER_ADMITS, BREAKER_PROBES, BREAKER_REFUSES };

enum breaker_says breaker_ask(struct breaker *b, int64_t now_us) MUST_USE;
bool breaker_is_open(const struct breaker *b);
/* What became of an admitted request; probe: breaker_ask() called it one. Each returns true when that opened or closed
 * the breaker. */
bool breaker_succeeded(struct breaker *b);
bool breaker_failed(struct breaker *b, bool probe, int64_t now_us);
void breaker_given_up(struct breaker *b, bool probe); /* it will not be known */

#endif
