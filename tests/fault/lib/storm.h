/* Processes that get, fetch, write and invalidate at random, a keeper, and a master that kills one of them every 1-20
 * ms, reaps it, and now and then stops all and audits. Of each key there is a version in a small database; a write is
 * committed, its tag raised, then it is acknowledged. */
#ifndef TESTS_FAULT_STORM_H
#define TESTS_FAULT_STORM_H

#include "common/base.h"

struct storm_options {
    int seconds, workers;
    unsigned seed;
    bool delays; /* FAULT_STORM: a short sleep at one in many fault points */
};

enum { STORM_WORKERS_MAX = 16 };

/* Prints its figures, and a line every ten seconds. True: what must be zero is, and what must happen has. */
bool storm_run(const struct storm_options *options) MUST_USE;

#endif
