/* The figures of the whole instance that top has in its head: what each is now, and what its line is drawn of. */
#ifndef MASTER_CTL_TOP_GAUGES_H
#define MASTER_CTL_TOP_GAUGES_H

#include "master/ctl/chart.h"
#include "master/ctl/format.h"
#include "shm/snapshot.h"

enum gauge {
#define GAUGE(name, label, join) GAUGE_##name,
#include "master/ctl/top/gauges.def"
#undef GAUGE
    GAUGE_COUNT
};

struct gauge_info {
    const char *label;
    bool peak; /* how series_columns() joins its samples */
};
extern const struct gauge_info gauge_infos[GAUGE_COUNT];

struct reading {
    double value; /* CHART_NOTHING: there is none */
    double top;   /* of its line; 0: that of its largest value */
    struct text text;
    enum style style; /* of the text */
};

/* Of the time that s is of. cpu_us: what the processes used of it; below 0 it is not known. */
void gauges_read(const struct snapshot *s, int64_t cpu_us, struct reading out[static GAUGE_COUNT]);
double rate_of(const struct snapshot *s, int64_t count); /* of so many in its time, in a second; 0 of no time */

#endif
