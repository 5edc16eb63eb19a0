/* Whether the generator itself was the limit: then its figures are not the server's. It was in a second in which it
 * took more than 90 % of a CPU, or in which its loop came to a timer more than 20 ms late. */
#ifndef CTL_LOAD_METER_H
#define CTL_LOAD_METER_H

#include "common/base.h"

struct meter {
    int64_t begin_us, begin_cpu_us; /* of the second that is being measured */
    int64_t late_us;                /* the latest timer in it */
    int64_t span_us, cpu_us;        /* of all that were */
    int64_t worst_us;               /* the latest timer at all */
    int seconds, saturated;
};

void meter_begin(struct meter *meter, int64_t now_us, int64_t cpu_us);
void meter_late(struct meter *meter, int64_t late_us);
/* To be called often; what is shorter than a second waits, up to the last one. Of that a rest below 100 ms is not
 * judged by its CPU, all of which it may have taken to end. */
void meter_look(struct meter *meter, int64_t now_us, int64_t cpu_us, bool last);
bool meter_is_saturated(const struct meter *meter); /* in one of twenty seconds or more */

#endif
