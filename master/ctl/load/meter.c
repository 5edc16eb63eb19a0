#include "master/ctl/load/meter.h"
#include "common/clock.h"

enum { CPU_PERCENT_MAX = 90, SECONDS_FEW = 20 };
#define LATE_MAX_US (20 * US_PER_MS)
#define REST_MIN_US (100 * US_PER_MS)

void meter_begin(struct meter *m, int64_t now_us, int64_t cpu_us)
{
    *m = (struct meter){.begin_us = now_us, .begin_cpu_us = cpu_us};
}

void meter_late(struct meter *m, int64_t late_us)
{
    m->late_us = MAX(m->late_us, late_us);
    m->worst_us = MAX(m->worst_us, late_us);
}

void meter_look(struct meter *m, int64_t now_us, int64_t cpu_us, bool last)
{
    int64_t span_us = now_us - m->begin_us, spent_us = cpu_us - m->begin_cpu_us;
    if (span_us < US_PER_S && !last)
        return;
    m->span_us += span_us;
    m->cpu_us += spent_us;
    if (span_us < REST_MIN_US && m->seconds > 0 && m->late_us <= LATE_MAX_US)
        return;
    m->seconds++;
    m->saturated += m->late_us > LATE_MAX_US || spent_us * 100 > span_us * CPU_PERCENT_MAX;
    m->begin_us = now_us;
    m->begin_cpu_us = cpu_us;
    m->late_us = 0;
}

bool meter_is_saturated(const struct meter *m)
{
    return m->saturated > 0 && m->saturated * SECONDS_FEW >= m->seconds;
}
