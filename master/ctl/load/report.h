/* What a load found: for people a table, for programs a document. */
#ifndef CTL_LOAD_REPORT_H
#define CTL_LOAD_REPORT_H

#include "master/ctl/ctl.h"
#include "master/ctl/load/load.h"

struct report {
    const char *file;
    const struct load_options *options;
    const struct load_result *result;
};

/* CTL_THRESHOLD where a threshold is crossed, CTL_FAILED where the load was interrupted and none is. */
enum ctl_exit report_print(const struct ctl *ctl, const struct report *report) MUST_USE;

/* A line on stderr: over the one before on a terminal, under it elsewhere. For load_options. */
void report_progress(void *terminal, const struct load *load, int64_t now_us);

#endif
