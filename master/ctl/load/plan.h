/* How much load there is when: a line through stages, of users or of arrivals a second. It begins at 0; a stage of no
 * duration is a jump. */
#ifndef CTL_LOAD_PLAN_H
#define CTL_LOAD_PLAN_H

#include "master/ctl/load/node.h"

enum plan_kind { PLAN_USERS, PLAN_RATE };

struct stage {
    int64_t duration_us;
    double target; /* at its end */
};

struct plan {
    enum plan_kind kind;
    const struct stage *stages;
    int count;
};

/* The same level all the time. */
struct plan plan_constant(enum plan_kind kind, double level, int64_t duration_us, struct arena *arena);
/* A list of {"duration", "target"}; each duration is multiplied by scale. */
bool plan_read(const struct node *node, enum plan_kind kind, double scale, struct arena *arena, struct plan *out,
               struct err *err) MUST_USE;
int64_t plan_length_us(const struct plan *plan);
double plan_level(const struct plan *plan, int64_t at_us); /* at its end that of the last stage, behind it 0 */
double plan_peak(const struct plan *plan);
/* Whole users of a PLAN_USERS: one comes when the level reaches the number that they are then, and goes when it has
 * fallen to the number that they are without that one, as with ramping-vus of k6. */
int plan_users(const struct plan *plan, int64_t at_us);

/* When the arrivals of a PLAN_RATE are due: the n-th, from 0, at the time at which the rate's integral reaches n. */
struct arrivals {
    const struct plan *plan;
    int stage;
    int64_t begin_us; /* of the stage */
    double from;      /* the rate there */
    double before;    /* the integral there */
    uint64_t next;
};

struct arrivals arrivals_of(const struct plan *plan);
/* Of the next one. False: there are no more. */
bool arrivals_due(struct arrivals *arrivals, int64_t *due_us_out) MUST_USE;
void arrivals_pass(struct arrivals *arrivals); /* on to the one behind it */

#endif
