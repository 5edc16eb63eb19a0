/* Whether the worker's loop turns. While it has something to do a timer of 10 ms tells how late it comes (histograms
 * loop_lag, loop_lag_own); a thread looks whenever it is later than 10 ms, so that what the loop is held up by is known
 * while it still is (loop_stuck_us and loop_stuck_at, for perfctl workers) and afterwards (loop_blocked, a line in the
 * error log). After 200 ms without anything to do both sleep until something comes.
 *
 * How long the loop was ready to run and got no CPU the kernel tells (/proc/self/schedstat): that is nobody's fault
 * here, and is counted apart (loop_starved). */
#ifndef WORKER_PULSE_H
#define WORKER_PULSE_H

#include "worker/service.h"

struct pulse;

/* In the thread of the loop, once the process has its row (doing_attach()). NULL: errno says why there is no timer. */
struct pulse *pulse_create(struct service *service) MUST_USE;
void pulse_destroy(struct pulse **pulse);

#endif
