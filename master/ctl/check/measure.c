#include "master/ctl/check/measure.h"
#include "common/clock.h"
#include "shm/board.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES_BEYOND = 10, NO_ROW = -1 };

static const struct measure unknown = {.row = NO_ROW};

static int find(const struct snapshot *s, enum stats_scope scope, const char *name)
{
    for (int i = 0; i < s->lists[scope].count; i++)
        if (strcmp(s->lists[scope].infos[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- what there is ---- */

static enum rule_dimension dimension_of(const struct stat_info *info)
{
    return strcmp(info->unit, "us") == 0      ? RULE_TIME
           : strcmp(info->unit, "bytes") == 0 ? RULE_BYTE_COUNT
           : strcmp(info->unit, "%") == 0     ? RULE_SHARE
                                              : RULE_COUNT;
}

static bool resolve_routes(const struct rule *rule, const struct snapshot *s, struct rule_error *error)
{
    for (int row = 0; row < s->routes; row++)
        if (fnmatch(rule->name, s->names[row], 0) == 0)
            return true;
    return rule_error_set(error, rule->name_at, "no route of this perfd matches; see perfctl routes");
}

static bool resolve_metric(const struct rule *rule, const struct snapshot *s, enum rule_dimension *dimension_out,
                           struct rule_error *error)
{
    int stat = find(s, SCOPE_SLOT, rule->name);
    if (rule_quantile(rule->subject) > 0) {
        *dimension_out = RULE_TIME;
        return find(s, SCOPE_HIST, rule->name) >= 0 ||
               rule_error_set(error, rule->name_at, "this perfd has no times called so; see perfctl stats");
    }
    if (stat < 0)
        return rule_error_set(error, rule->name_at, "this perfd has no figure called so; see perfctl stats");
    const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[stat];
    if (rule->subject == RULE_rate && !info->counter)
        return rule_error_set(error, rule->name_at, "it is a gauge, which has no rate");
    *dimension_out = rule->subject == RULE_rate ? RULE_RATE : dimension_of(info);
    return true;
}

static enum rule_dimension dimension_of_subject(enum rule_subject subject)
{
    static const enum rule_dimension dimensions[RULE_SUBJECTS] = {
#define SUBJECT(name, of, measures, help) RULE_##measures,
#include "master/ctl/check/rule.def"
#undef SUBJECT
    };
    return dimensions[subject];
}

bool measure_resolve(const struct rule *rule, const struct snapshot *s, enum rule_dimension *dimension_out,
                     struct rule_error *error)
{
    *dimension_out = dimension_of_subject(rule->subject);
    if (rule->of == OF_ROUTES && !resolve_routes(rule, s, error))
        return false;
    if (rule->of == OF_METRIC && !resolve_metric(rule, s, dimension_out, error))
        return false;
    if (rule->subject == RULE_over && find(s, SCOPE_ROUTE, "over_objective") < 0)
        return rule_error_set(error, 0, "this perfd does not count answers over an objective");
    return rule_takes(rule, *dimension_out, error);
}

/* ---- shares, quantiles ---- */

struct measure measure_share(int64_t part, int64_t whole)
{
    struct measure m = unknown;
    m.known = whole > 0;
    m.samples = whole;
    m.value = whole > 0 ? (double)part / (double)whole : 0;
    return m;
}

static struct measure number(double value)
{
    struct measure m = unknown;
    m.known = true;
    m.value = value;
    return m;
}

static struct measure quantile(const struct histogram *h, double q)
{
    struct measure m = unknown;
    m.samples = (int64_t)histogram_count(h);
    m.known = m.samples > 0;
    m.value = (double)histogram_quantile_us(h, q);
    m.uncertain = q < 1 && (double)m.samples * (1 - q) < SAMPLES_BEYOND;
    return m;
}

static double a_second(int64_t count, int64_t span_us)
{
    return (double)count * (double)US_PER_S / (double)MAX(span_us, INT64_C(1));
}

struct measure measure_cpu(const struct snapshot *earlier, const struct snapshot *later)
{
    int64_t used_us = 0, workers = 0, span_us = later->at_us - earlier->at_us;
    for (int slot = 0; slot < later->slots; slot++) {
        int64_t cpu_us = snapshot_get(later, slot, STAT_cpu_us), pid = snapshot_get(later, slot, STAT_pid);
        bool same = slot < earlier->slots && pid == snapshot_get(earlier, slot, STAT_pid);
        used_us += MAX(cpu_us - (same ? snapshot_get(earlier, slot, STAT_cpu_us) : 0), INT64_C(0));
        workers += pid != 0;
    }
    return measure_share(used_us, span_us * MIN(workers, (int64_t)sysconf(_SC_NPROCESSORS_ONLN)));
}

/* ---- gauges ---- */

/* Since a worker that is ready has told its heart beats; of none there is nothing to tell. */
static struct measure oldest_beat(const struct snapshot *s)
{
    struct measure m = unknown;
    for (int slot = 0; slot < s->slots; slot++) {
        int64_t beat_us = snapshot_get(s, slot, STAT_beat_us);
        if (snapshot_get(s, slot, STAT_pid) == 0 || beat_us == 0)
            continue;
        m.known = true;
        m.value = MAX(m.value, (double)(s->at_us - beat_us));
    }
    return m;
}

static struct measure share_of(const struct snapshot *s, enum metric part, enum metric whole)
{
    struct measure m = measure_share(snapshot_sum(s, part), snapshot_sum(s, whole));
    m.samples = 0;
    return m;
}

static struct measure gauge(const struct rule *rule, const struct snapshot *s)
{
    int index = find(s, SCOPE_SLOT, rule->name);
    const struct stat_info *info = index >= 0 ? &s->lists[SCOPE_SLOT].infos[index] : NULL;
    if (info == NULL || info->counter)
        return unknown;
    return number((double)snapshot_sum_at(s, index) * (dimension_of(info) == RULE_SHARE ? 0.01 : 1));
}

static struct measure look(const struct rule *rule, const struct snapshot *s)
{
    switch (rule->subject) {
    case RULE_pool_sat:
        return share_of(s, STAT_pool_active, STAT_pool_max);
    case RULE_mem:
        return share_of(s, STAT_memory_used_bytes, STAT_memory_limit_bytes);
    case RULE_cache_used:
        return share_of(s, STAT_cache_used_bytes, STAT_cache_size_bytes);
    case RULE_beat:
        return oldest_beat(s);
    case RULE_value:
        return gauge(rule, s);
    case RULE_p50:
    case RULE_p90:
    case RULE_p95:
    case RULE_p99:
    case RULE_p999:
    case RULE_max:
    case RULE_rate:
    case RULE_errors:
    case RULE_hit:
    case RULE_over:
    case RULE_cpu:
    case RULE_SUBJECTS:
        break;
    }
    return unknown;
}

void measure_look(const struct rule *rule, const struct snapshot *s, struct measure *worst)
{
    struct measure m = look(rule, s);
    if (m.known && (!worst->known || rule_is_worse(rule, m.value, worst->value)))
        *worst = m;
}

/* ---- windows ---- */

/* Of the rows from `from` to before `to` that the rule's glob matches. */
static int64_t sum_routes(const struct rule *rule, const struct snapshot *s, int from, int to, const char *stat)
{
    int64_t sum = 0;
    int index = find(s, SCOPE_ROUTE, stat);
    for (int row = from; row < to && index >= 0; row++)
        if (fnmatch(rule->name, s->names[row], 0) == 0)
            sum += snapshot_route_at(s, row, index);
    return sum;
}

static struct measure quantile_of_routes(const struct rule *rule, const struct snapshot *s, int from, int to)
{
    struct histogram sum = {0};
    for (int row = from; row < to; row++)
        for (int i = 0; i < s->lists[SCOPE_ROUTE_HIST].count && fnmatch(rule->name, s->names[row], 0) == 0; i++)
            histogram_add(&sum, snapshot_route_hist_at(s, row, i));
    return quantile(&sum, rule_quantile(rule->subject));
}

static struct measure of_rows(const struct rule *rule, const struct snapshot *s, int from, int to)
{
    static const char *const parts[RULE_SUBJECTS] = {
        [RULE_errors] = "errors_5xx", [RULE_hit] = "hits", [RULE_over] = "over_objective"};
    if (rule_quantile(rule->subject) > 0)
        return quantile_of_routes(rule, s, from, to);
    int64_t requests = sum_routes(rule, s, from, to, "requests");
    if (rule->subject == RULE_rate)
        return number(a_second(requests, s->span_us));
    int64_t part = sum_routes(rule, s, from, to, parts[rule->subject]);
    if (rule->subject == RULE_over) /* of routes that have an objective */
        requests = part + sum_routes(rule, s, from, to, "within_objective");
    return measure_share(part, requests);
}

/* The route that breaks the rule most, or comes nearest to it. */
static struct measure worst_route(const struct rule *rule, const struct snapshot *s)
{
    struct measure worst = unknown;
    for (int row = 0; row < s->routes; row++) {
        if (fnmatch(rule->name, s->names[row], 0) != 0 ||
            (row == 0 && snapshot_route(s, row, ROUTE_STAT_requests) == 0))
            continue; /* row 0 is what found none of its own: mostly nothing */
        struct measure m = of_rows(rule, s, row, row + 1);
        if (!m.known || (worst.known && !rule_is_worse(rule, m.value, worst.value)))
            continue;
        worst = m;
        worst.row = row;
    }
    return worst;
}

static struct measure of_metric(const struct rule *rule, const struct snapshot *between)
{
    struct histogram h;
    if (rule_quantile(rule->subject) > 0) {
        snapshot_hist_at(between, find(between, SCOPE_HIST, rule->name), &h);
        return quantile(&h, rule_quantile(rule->subject));
    }
    int64_t count = snapshot_sum_at(between, find(between, SCOPE_SLOT, rule->name));
    return number(rule->subject == RULE_rate ? a_second(count, between->span_us) : (double)count);
}

static bool is_gauge(const struct rule *rule, const struct snapshot *s)
{
    switch (rule->of) {
    case OF_ROUTES:
        return false;
    case OF_NOTHING:
        return rule->subject != RULE_cpu;
    case OF_METRIC:
        return rule->subject == RULE_value && !s->lists[SCOPE_SLOT].infos[find(s, SCOPE_SLOT, rule->name)].counter;
    }
    return false;
}

void measure_window(const struct rule *rule, const struct snapshot *earlier, const struct snapshot *later,
                    const struct snapshot *between, struct measure *out)
{
    if (is_gauge(rule, between))
        return;
    if (rule->subject == RULE_cpu)
        *out = measure_cpu(earlier, later);
    else if (rule->of == OF_METRIC)
        *out = of_metric(rule, between);
    else
        *out = rule->each ? worst_route(rule, between) : of_rows(rule, between, 0, between->routes);
}
