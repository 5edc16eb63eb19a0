#include "tests/bench/lib/rounds.h"

#include <stdlib.h>

static double round_ns(const struct rounds *r, int round, enum side side, enum figure figure)
{
    double sum = 0;
    for (int proc = 0; proc < r->procs; proc++) {
        const struct sample *s = &r->samples[round][side][proc];
        sum += (figure == FIGURE_CPU ? s->cpu_ns : s->wall_ns) / (double)MAX(s->ops, UINT64_C(1));
    }
    return sum / r->procs;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double rounds_median_ns(const struct rounds *r, enum side side, enum figure figure)
{
    double ns[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        ns[round] = round_ns(r, round, side, figure);
    qsort(ns, ROUNDS, sizeof *ns, by_size);
    return ns[ROUNDS / 2];
}

struct rounds_ratio rounds_ratio(const struct rounds *r, enum figure figure)
{
    double ratios[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        ratios[round] = round_ns(r, round, SIDE_MUTEX, figure) / round_ns(r, round, SIDE_CACHE, figure);
    qsort(ratios, ROUNDS, sizeof *ratios, by_size);
    return (struct rounds_ratio){ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]};
}

struct sample rounds_total(const struct rounds *r, enum side side)
{
    struct sample sum = {0};
    for (int round = 0; round < ROUNDS; round++)
        for (int proc = 0; proc < r->procs; proc++) {
            const struct sample *s = &r->samples[round][side][proc];
            sum.ops += s->ops;
            sum.failed += s->failed;
            sum.wrong += s->wrong;
            sum.cpu_ns += s->cpu_ns;
            sum.wall_ns += s->wall_ns;
        }
    return sum;
}
