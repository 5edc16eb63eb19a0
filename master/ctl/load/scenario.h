/* A load test, as a JSON file tells it: perfctl(1), LOAD SCENARIOS. scripts/load-test.js reads the same file in k6. */
#ifndef CTL_LOAD_SCENARIO_H
#define CTL_LOAD_SCENARIO_H

#include "master/ctl/load/base_url.h"
#include "master/ctl/load/pattern.h"
#include "master/ctl/load/plan.h"
#include "master/ctl/load/threshold.h"

enum { STATUSES_MAX = 8, SCENARIO_SCALE_MAX = 1000000 };
#define SCENARIO_SEED_MAX (INT64_C(1) << 53) /* so that a reader of JSON can give it back */

struct request {
    const char *name;   /* of its row in the report */
    const char *method; /* GET ... */
    double weight;
    struct pattern path, head, body; /* head: its own fields, each with CRLF */
    bool has_body;
    int statuses[STATUSES_MAX]; /* those that are expected */
    int status_count;
};

struct scenario {
    struct base_url url;
    struct plan plan;
    int64_t think_from_us, think_to_us; /* of a user between an answer and the next request */
    int64_t timeout_us;                 /* of one request, from when it is sent */
    struct variables variables;
    struct request *requests;
    int request_count;
    struct threshold *thresholds;
    int threshold_count;
};

/* What may be chosen when it is run. */
struct scenario_choice {
    const char *url;       /* NULL: the file's */
    double duration_scale; /* of each stage */
    int64_t scale;         /* of the variables that scale */
};

/* text is the file's bytes and outlives the scenario, as the arena does. */
bool scenario_parse(const char *file, struct slice text, const struct scenario_choice *choice, struct arena *arena,
                    struct scenario *out, struct err *err) MUST_USE;
/* Reads the file, too. */
bool scenario_read(const char *file, const struct scenario_choice *choice, struct arena *arena, struct scenario *out,
                   struct err *err) MUST_USE;

/* A request as it goes over the wire, by the seed and its number; -> its index. */
int scenario_write(const struct scenario *scenario, uint64_t seed, uint64_t number, int64_t wall_us, struct buf *out);
/* Index alone. */
int scenario_choose(const struct scenario *scenario, uint64_t seed, uint64_t number);
bool request_expects(const struct request *request, int status);

#endif
