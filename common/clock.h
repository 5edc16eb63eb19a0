/* The two clocks. Everything that measures or expires uses the monotonic one; only what leaves the machine (logs,
 * Redis envelopes, statistics for humans) uses the wall clock. Microseconds. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include "common/base.h"

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

int64_t clock_mono_us(void); /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void); /* CLOCK_REALTIME, since 1970 */

/* "2026-11-29T15:40:34", UTC. For the log, which has to tell that there is no memory: gmtime() takes a lock, and asks
 * for memory with it the first time. */
enum { CLOCK_STAMP_BYTES = 20 };
void clock_stamp(int64_t wall_us, char stamp[static CLOCK_STAMP_BYTES]);

#endif
