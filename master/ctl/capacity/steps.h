/* Measures points of a capacity curve: a load of more and more users that never think. */
#ifndef MASTER_CTL_CAPACITY_STEPS_H
#define MASTER_CTL_CAPACITY_STEPS_H

#include "master/ctl/capacity/points.h"
#include "master/ctl/load/scenario.h"

enum { STEPS_MAX = 64, STEPS_USERS_MAX = 100000 };

struct steps {
    int users[STEPS_MAX];
    int count;
    bool all; /* else it ends when two steps after each other have brought nothing more */
    int64_t step_us;
    uint64_t seed;
};

struct steps_found {
    struct points points; /* by users: answers a second that did not fail. The caller frees them. */
    int64_t requests, failed;
    int saturated; /* steps in which the generator was the limit */
    bool interrupted;
};

/* 1, 2, 3, 4, 6, 8, 12 and so on up to 384, as far as they bring more. */
void steps_usual(struct steps *steps);
/* "1,2,4,8", rising. */
bool steps_parse(const char *text, struct steps *out, struct err *err) MUST_USE;
/* Tells each step on stderr. The scenario's plan and thinking are replaced. False: the load could not begin. */
bool steps_run(const struct steps *steps, struct scenario *scenario, struct arena *arena, struct steps_found *out,
               struct err *err) MUST_USE;

#endif
