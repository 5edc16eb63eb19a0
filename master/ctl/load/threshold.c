#include "master/ctl/load/threshold.h"
#include "common/clock.h"

#include <math.h>
#include <stdlib.h>

#define BIT(aggregate) (1u << AGGREGATE_##aggregate)

static const struct {
    const char *name;
    unsigned aggregates;
    const char *words; /* those that it has */
} metrics[LOAD_COUNT] = {
    [LOAD_http_req_duration] = {"http_req_duration", BIT(avg) | BIT(min) | BIT(med) | BIT(max) | BIT(p),
                                "avg, min, med, max or p(N)"},
    [LOAD_http_req_failed] = {"http_req_failed", BIT(rate), "rate"},
    [LOAD_checks] = {"checks", BIT(rate), "rate"},
    [LOAD_http_reqs] = {"http_reqs", BIT(count) | BIT(rate), "count or rate"},
};

static const char *const aggregates[] = {"avg", "min", "med", "max", "p", "rate", "count"};

/* Those that others begin with come behind them. */
static const struct {
    const char *text;
    enum comparison comparison;
} comparisons[] = {{"<=", LESS_OR_EQUAL}, {"<", LESS},   {">=", GREATER_OR_EQUAL}, {">", GREATER},
                   {"===", EQUAL},        {"==", EQUAL}, {"!=", UNEQUAL}};

/* ---- reading ---- */

static bool parse_name(const char *tags, struct threshold *out, struct err *err)
{
    size_t len = strlen(tags);
    if (strncmp(tags, "{name:", 6) != 0 || tags[len - 1] != '}' || len < 8)
        return err_set(err, "behind the metric may stand {name:...}, not \"%s\"", tags);
    out->name = slice_of(tags + 6, len - 7);
    return true;
}

bool threshold_parse_metric(const char *metric, struct threshold *out, struct err *err)
{
    size_t len = strcspn(metric, "{");
    *out = (struct threshold){.metric_text = metric};
    for (int i = 0; i < LOAD_COUNT; i++)
        if (slice_is(slice_of(metric, len), metrics[i].name)) {
            out->metric = (enum load_metric)i;
            return metric[len] == '\0' || parse_name(metric + len, out, err);
        }
    return err_set(err, "metrics are http_req_duration, http_req_failed, checks and http_reqs");
}

static const char *past_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* A decimal one; where it ends, or NULL. */
static const char *parse_number(const char *at, double *out)
{
    char *end = NULL;
    *out = strtod(at, &end);
    return end > at && strspn(at, "0123456789.-eE+") >= (size_t)(end - at) && isfinite(*out) ? end : NULL;
}

/* p(N)'s number and parenthesis; NULL: they are not there. */
static const char *parse_percent(const char *at, double *percent_out)
{
    const char *end = *at == '(' ? parse_number(at + 1, percent_out) : NULL;
    return end != NULL && *end == ')' && *percent_out >= 0 && *percent_out <= 100 ? end + 1 : NULL;
}

/* Where it ends. */
static const char *parse_aggregate(const char *at, struct threshold *out, struct err *err)
{
    size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < ARRAY_LEN(aggregates); i++) {
        if (!slice_is(slice_of(at, len), aggregates[i]) || !(metrics[out->metric].aggregates & 1u << i))
            continue;
        out->aggregate = (enum aggregate)i;
        const char *end = i == AGGREGATE_p ? parse_percent(at + len, &out->percent) : at + len;
        if (end == NULL)
            (void)err_set(err, "p needs a number from 0 to 100, as in p(95)");
        return end;
    }
    (void)err_set(err, "%s has %s", metrics[out->metric].name, metrics[out->metric].words);
    return NULL;
}

static const char *parse_comparison(const char *at, struct threshold *out, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(comparisons); i++)
        if (strncmp(at, comparisons[i].text, strlen(comparisons[i].text)) == 0) {
            out->comparison = comparisons[i].comparison;
            return at + strlen(comparisons[i].text);
        }
    (void)err_set(err, "one of < <= > >= == != was expected at \"%s\"", at);
    return NULL;
}

bool threshold_parse(const char *text, struct threshold *out, struct err *err)
{
    const char *end, *at = parse_aggregate(past_blanks(text), out, err);
    out->text = text;
    if (at == NULL || (at = parse_comparison(past_blanks(at), out, err)) == NULL)
        return false;
    at = past_blanks(at);
    if ((end = parse_number(at, &out->bound)) == NULL)
        return err_set(err, "a number was expected at \"%s\"", at);
    if (*past_blanks(end) != '\0')
        return err_set(err, "nothing was expected at \"%s\"", past_blanks(end));
    return true;
}

/* ---- checking ---- */

static double ms(double us)
{
    return us / (double)US_PER_MS;
}

static double measure(const struct threshold *t, const struct tally *tally, double seconds)
{
    double requests = (double)tally->requests;
    switch (t->aggregate) {
    case AGGREGATE_avg:
        return ms(tally_mean_us(tally));
    case AGGREGATE_min:
        return ms((double)tally->min_us);
    case AGGREGATE_med:
        return ms((double)tally_quantile_us(tally, 0.5));
    case AGGREGATE_max:
        return ms((double)tally->max_us);
    case AGGREGATE_p:
        return ms((double)(t->percent > 0 ? tally_quantile_us(tally, t->percent / 100) : tally->min_us));
    case AGGREGATE_count:
        return requests;
    case AGGREGATE_rate:
        if (t->metric == LOAD_http_reqs)
            return seconds > 0 ? requests / seconds : 0;
        return (double)(t->metric == LOAD_checks ? tally->passed : tally->failed) / requests;
    }
    CHECK(false);
    return 0;
}

static bool compare(double value, enum comparison comparison, double bound)
{
    switch (comparison) {
    case LESS_OR_EQUAL:
        return value <= bound;
    case LESS:
        return value < bound;
    case GREATER_OR_EQUAL:
        return value >= bound;
    case GREATER:
        return value > bound;
    case EQUAL:
        return value == bound;
    case UNEQUAL:
        return value != bound;
    }
    CHECK(false);
    return false;
}

/* Of no requests. k6 has no share of nothing, which nothing crosses, and 0 for all else. */
static struct verdict check_nothing(const struct threshold *t)
{
    bool is_share = t->aggregate == AGGREGATE_rate && t->metric != LOAD_http_reqs;
    return (struct verdict){t->metric == LOAD_http_reqs, is_share || compare(0, t->comparison, t->bound), 0};
}

struct verdict threshold_check(const struct threshold *t, const struct tally *tally, double seconds)
{
    if (tally->requests == 0)
        return check_nothing(t);
    double value = measure(t, tally, seconds);
    return (struct verdict){true, compare(value, t->comparison, t->bound), value};
}
