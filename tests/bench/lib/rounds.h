/* What two sides that take turns came to in each round, and what to say of all rounds together. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include "common/base.h"

enum { ROUNDS = 9, ROUNDS_PROCS_MAX = 2 };
enum side { SIDE_CACHE, SIDE_MUTEX, SIDE_COUNT };
enum figure { FIGURE_CPU, FIGURE_WALL };

struct sample { /* one process's, in one round */
    double cpu_ns, wall_ns;
    uint64_t ops, failed;
    uint64_t wrong; /* hits with another key's body */
};

struct rounds {
    int procs;
    struct sample samples[ROUNDS][SIDE_COUNT][ROUNDS_PROCS_MAX];
};

struct rounds_ratio {
    double median, least, greatest;
};

/* Nanoseconds of one process an operation: the median of the rounds, of the processes' mean. */
double rounds_median_ns(const struct rounds *rounds, enum side side, enum figure figure);
/* Mutex / cache within each round. */
struct rounds_ratio rounds_ratio(const struct rounds *rounds, enum figure figure);
struct sample rounds_total(const struct rounds *rounds, enum side side);

#endif
