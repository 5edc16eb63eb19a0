/* What was counted: of one request of the scenario, or of all. */
#ifndef CTL_LOAD_TALLY_H
#define CTL_LOAD_TALLY_H

#include "shm/histogram.h"

/* How a request ended. OUTCOME(name, help) */
#define OUTCOMES(OUTCOME)                                                                                              \
    OUTCOME(answered, "an answer, whatever its status")                                                                \
    OUTCOME(no_connection, "the server could not be connected to")                                                     \
    OUTCOME(lost, "the connection ended before the answer did")                                                        \
    OUTCOME(timed_out, "no whole answer within the time-out")                                                          \
    OUTCOME(malformed, "the answer was not HTTP/1.1 as it should be")                                                  \
    OUTCOME(unsent, "no connection was free, up to the time-out behind the end")

enum outcome {
#define OUTCOME(name, help) OUTCOME_##name,
    OUTCOMES(OUTCOME)
#undef OUTCOME
        OUTCOME_COUNT
};

extern const char *const outcome_names[OUTCOME_COUNT], *const outcome_helps[OUTCOME_COUNT];

struct tally {
    struct histogram latency; /* of all, also of those that failed */
    int64_t requests, failed; /* failed: no answer, or a status that is not from 200 to 399 */
    int64_t passed;           /* checks: the status was one that the scenario expects */
    int64_t bytes;            /* received */
    int64_t sum_us, min_us, max_us;
    int64_t outcomes[OUTCOME_COUNT];
};

/* status counts where the outcome is an answer. */
void tally_add(struct tally *tally, enum outcome outcome, int status, bool expected, int64_t latency_us, int64_t bytes);
void tally_sum(struct tally *sum, const struct tally *tally);
double tally_mean_us(const struct tally *tally); /* 0 when empty */
/* Upper edge of the bucket, but never above the maximum; of the last bucket, which has all that is beyond the
 * histogram, that is the maximum. -1 when empty. */
int64_t tally_quantile_us(const struct tally *tally, double q);

#endif
