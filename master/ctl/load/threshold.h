/* What must hold of a load, in k6's words: "p(95)<500" of http_req_duration, which counts in milliseconds. A metric may
 * be that of one request alone: "http_req_duration{name:GET /api/posts}". */
#ifndef CTL_LOAD_THRESHOLD_H
#define CTL_LOAD_THRESHOLD_H

#include "common/err.h"
#include "common/slice.h"
#include "master/ctl/load/tally.h"

enum load_metric { LOAD_http_req_duration, LOAD_http_req_failed, LOAD_checks, LOAD_http_reqs, LOAD_COUNT };
enum aggregate {
    AGGREGATE_avg,
    AGGREGATE_min,
    AGGREGATE_med,
    AGGREGATE_max,
    AGGREGATE_p,
    AGGREGATE_rate,
    AGGREGATE_count
};
enum comparison { LESS_OR_EQUAL, LESS, GREATER_OR_EQUAL, GREATER, EQUAL, UNEQUAL };

struct threshold {
    enum load_metric metric;
    struct slice name; /* of the one request; empty: of all */
    enum aggregate aggregate;
    double percent; /* of p() */
    enum comparison comparison;
    double bound;
    const char *metric_text, *text; /* as they were written */
};

/* metric as "http_reqs" or "http_reqs{name:...}". False: err names what is wrong. Both texts outlive the threshold. */
bool threshold_parse_metric(const char *metric, struct threshold *out, struct err *err) MUST_USE;
/* The expression, of the metric that was parsed before. */
bool threshold_parse(const char *text, struct threshold *out, struct err *err) MUST_USE;

/* The figure that is compared. Of no requests a share is not crossed and all else is 0, as in k6. */
struct verdict {
    bool measured, holds;
    double value;
};
struct verdict threshold_check(const struct threshold *threshold, const struct tally *tally, double seconds);

#endif
