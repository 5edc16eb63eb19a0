/* A rule of perfctl check, such as
 *
 *     p95(GET /users*) < 500ms       errors(*) <= 0.1%         pool.sat < 90%
 *     each p99(*) < 1s               pool_wait.p95 < 20ms      rate(cache_evicted) < 100
 *
 * rule  = ["each"] WHAT ("<" | "<=" | ">" | ">=") NUMBER [UNIT]
 * WHAT  = SUBJECT "(" GLOB | METRIC ")" | METRIC "." QUANTILE | SUBJECT | METRIC
 *
 * SUBJECT is a row of rule.def. What stands in parentheses is a metric's name where it consists of its letters, else it
 * is the glob of routes. Routes that match are taken together; `each` takes each for itself. */
#ifndef MASTER_CTL_CHECK_RULE_H
#define MASTER_CTL_CHECK_RULE_H

#include "common/base.h"

enum { RULE_BYTES = 256 };

enum rule_subject {
#define SUBJECT(name, of, measures, help) RULE_##name,
#include "master/ctl/check/rule.def"
#undef SUBJECT
    RULE_SUBJECTS
};
enum rule_of { OF_NOTHING, OF_ROUTES, OF_METRIC };
/* What is measured: microseconds, a share of 1, events a second, bytes or a plain count. */
enum rule_dimension { RULE_TIME, RULE_SHARE, RULE_RATE, RULE_BYTE_COUNT, RULE_COUNT, RULE_ANY };
enum rule_op { RULE_LESS, RULE_AT_MOST, RULE_MORE, RULE_AT_LEAST };

struct rule {
    char text[RULE_BYTES]; /* as it was written */
    bool each;
    enum rule_subject subject;
    enum rule_of of;
    char name[RULE_BYTES]; /* of the metric, with _ for . ; or the glob */
    enum rule_op op;
    double limit;             /* in base units */
    enum rule_dimension unit; /* RULE_COUNT: it had none */
    size_t name_at, limit_at; /* where they stand in the text */
};

struct rule_error {
    size_t at; /* the byte of the text that it is about */
    char what[160];
};

/* False: error says what is wrong, and where. */
bool rule_parse(const char *text, struct rule *out, struct rule_error *error) MUST_USE;
/* Whether the limit is one of this dimension: a time needs a unit, a share is at most 1 or has a %. */
bool rule_takes(const struct rule *rule, enum rule_dimension dimension, struct rule_error *error) MUST_USE;
bool rule_error_set(struct rule_error *error, size_t at, const char *fmt, ...) PRINTF(3, 4); /* false */
/* 0.5 for p50 and so on, 1 for max; 0: of no quantile. */
double rule_quantile(enum rule_subject subject);
bool rule_holds(const struct rule *rule, double value);
/* Whether a is nearer to breaking it than b, or breaks it by more. */
bool rule_is_worse(const struct rule *rule, double a, double b);

#endif
