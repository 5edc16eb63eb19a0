#include "master/ctl/load/tally.h"

#define OUTCOME(name, help) #name,
const char *const outcome_names[] = {OUTCOMES(OUTCOME)};
#undef OUTCOME
#define OUTCOME(name, help) help,
const char *const outcome_helps[] = {OUTCOMES(OUTCOME)};
#undef OUTCOME

void tally_add(struct tally *t, enum outcome outcome, int status, bool expected, int64_t latency_us, int64_t bytes)
{
    bool answered = outcome == OUTCOME_answered;
    t->latency.buckets[histogram_bucket(latency_us)]++;
    t->min_us = t->requests == 0 ? latency_us : MIN(t->min_us, latency_us);
    t->max_us = MAX(t->max_us, latency_us);
    t->sum_us += latency_us;
    t->requests++;
    t->failed += !answered || status < 200 || status >= 400;
    t->passed += answered && expected;
    t->bytes += bytes;
    t->outcomes[outcome]++;
}

void tally_sum(struct tally *sum, const struct tally *t)
{
    if (t->requests == 0)
        return;
    histogram_add(&sum->latency, &t->latency);
    sum->min_us = sum->requests == 0 ? t->min_us : MIN(sum->min_us, t->min_us);
    sum->max_us = MAX(sum->max_us, t->max_us);
    sum->sum_us += t->sum_us;
    sum->requests += t->requests;
    sum->failed += t->failed;
    sum->passed += t->passed;
    sum->bytes += t->bytes;
    for (int i = 0; i < OUTCOME_COUNT; i++)
        sum->outcomes[i] += t->outcomes[i];
}

double tally_mean_us(const struct tally *t)
{
    return t->requests > 0 ? (double)t->sum_us / (double)t->requests : 0;
}

int64_t tally_quantile_us(const struct tally *t, double q)
{
    int64_t us = histogram_quantile_us(&t->latency, q);
    return us == histogram_upper_us(HISTOGRAM_BUCKETS - 1) ? t->max_us : MIN(us, t->max_us);
}
