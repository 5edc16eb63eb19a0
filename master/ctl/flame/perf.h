/* Linux's perf, which samples processes: run as a command, found by PATH. */
#ifndef MASTER_CTL_FLAME_PERF_H
#define MASTER_CTL_FLAME_PERF_H

#include "common/err.h"

#include <stdio.h>

enum { PERF_PIDS_MAX = 512 };

/* Samples all threads of the processes for so long, or until an interrupt, PERF_HZ times a second of CPU, by cycles or,
 * where these are not to be had, by the clock of the CPU. The caller closes the file: what `perf script -F
 * comm,ip,sym,dso` printed. NULL: err tells what is missing and how to get it. */
enum { PERF_HZ = 99 };
FILE *perf_sample(const int *pids, int count, int64_t duration_us, struct err *err) MUST_USE;

#endif
