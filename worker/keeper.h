/* The keeper, a process beside the workers: it keeps memory of the cache free ahead of them, compresses what they ask
 * for, hears of changes that others make to the data and writes the history of the statistics. They go on without
 * it. */
#ifndef WORKER_KEEPER_H
#define WORKER_KEEPER_H

#include "worker/worker.h"

/* Runs until told to stop, or until the master is gone; the process's exit status. */
int keeper_run(const struct worker_start *start);

#endif
