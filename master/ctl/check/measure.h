/* What a rule is about, measured. Gauges are looked at many times while the time of the check goes by, and the worst
 * counts; all else is of that time as a whole. */
#ifndef MASTER_CTL_CHECK_MEASURE_H
#define MASTER_CTL_CHECK_MEASURE_H

#include "master/ctl/check/rule.h"
#include "shm/snapshot.h"

struct measure {
    bool known; /* false: nothing came that it could be measured of */
    double value;
    int64_t samples; /* that a quantile is of, requests that a share is of; else 0 */
    bool uncertain;  /* of a quantile: fewer than ten samples lie beyond it */
    int row;         /* of an `each`: the route that is worst; -1: of none */
};

/* The dimension of what the rule measures. False: what it names is not in these figures, or the limit does not go with
 * it; error says so. */
bool measure_resolve(const struct rule *rule, const struct snapshot *s, enum rule_dimension *dimension_out,
                     struct rule_error *error) MUST_USE;
/* A look at a gauge; nothing to do for other rules. */
void measure_look(const struct rule *rule, const struct snapshot *s, struct measure *worst);
/* At the end: all else, of the time between two snapshots of one life; `between` is their difference. */
void measure_window(const struct rule *rule, const struct snapshot *earlier, const struct snapshot *later,
                    const struct snapshot *between, struct measure *out);
/* Of the CPUs that the workers can use, one each or as many as the machine has, in the time between. */
struct measure measure_cpu(const struct snapshot *earlier, const struct snapshot *later);
/* A share as a measure: not known where there is no whole. */
struct measure measure_share(int64_t part, int64_t whole);

#endif
