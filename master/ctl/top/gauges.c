#include "master/ctl/top/gauges.h"
#include "common/clock.h"
#include "shm/pressure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEAN = false, PEAK = true };

const struct gauge_info gauge_infos[GAUGE_COUNT] = {
#define GAUGE(name, label, join) {label, join},
#include "master/ctl/top/gauges.def"
#undef GAUGE
};

struct input {
    const struct snapshot *s;
    int64_t cpu_us;
    struct histogram answers, pool_wait;
};

double rate_of(const struct snapshot *s, int64_t count)
{
    return s->span_us > 0 ? (double)count * (double)US_PER_S / (double)s->span_us : 0;
}

static struct reading of_share(int64_t part, int64_t whole)
{
    return (struct reading){whole > 0 ? (double)part / (double)whole : CHART_NOTHING, 1, format_percent(part, whole),
                            STYLE_bold};
}

static enum style above(double share, double warn, double bad)
{
    return share >= bad ? STYLE_bad : share >= warn ? STYLE_warn : STYLE_bold;
}

static struct reading read_rate(const struct input *in)
{
    struct reading r = {.value = rate_of(in->s, snapshot_sum(in->s, STAT_requests)), .style = STYLE_bold};
    r.text = format_rate(r.value);
    return r;
}

static struct reading read_hits(const struct input *in)
{
    int64_t hits = snapshot_sum(in->s, STAT_cache_hits);
    return of_share(hits, hits + snapshot_sum(in->s, STAT_cache_misses));
}

static struct reading read_errors(const struct input *in)
{
    int64_t server = snapshot_sum(in->s, STAT_responses_5xx), all = server + snapshot_sum(in->s, STAT_responses_4xx);
    struct reading r = of_share(all, snapshot_sum(in->s, STAT_requests));
    r.style = server > 0 ? STYLE_bad : all > 0 ? STYLE_warn : STYLE_bold;
    r.top = 0;
    return r;
}

static struct reading of_quantile(const struct histogram *h, double q)
{
    int64_t us = histogram_quantile_us(h, q);
    return (struct reading){us >= 0 ? (double)us : CHART_NOTHING, 0, format_quantile(h, q), STYLE_bold};
}

static struct reading read_p50(const struct input *in)
{
    return of_quantile(&in->answers, 0.50);
}

static struct reading read_p95(const struct input *in)
{
    return of_quantile(&in->answers, 0.95);
}

static struct reading read_p99(const struct input *in)
{
    return of_quantile(&in->answers, 0.99);
}

static struct reading read_cpu(const struct input *in)
{
    long cores = MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    struct reading r = {.value = CHART_NOTHING, .top = (double)cores, .text = {"-"}, .style = STYLE_bold};
    if (in->cpu_us < 0 || in->s->span_us <= 0)
        return r;
    r.value = (double)in->cpu_us / (double)in->s->span_us;
    r.style = above(r.value / r.top, 0.80, 0.95);
    snprintf(r.text.s, sizeof r.text.s, "%.0f %% of %ld", 100 * r.value, cores);
    return r;
}

static struct reading read_memory(const struct input *in)
{
    static const enum style styles[MEMORY_LEVELS] = {STYLE_bold, STYLE_warn, STYLE_bad, STYLE_bad};
    int64_t used = snapshot_sum(in->s, STAT_memory_used_bytes), limit = snapshot_sum(in->s, STAT_memory_limit_bytes);
    int64_t level = snapshot_sum(in->s, STAT_memory_level);
    struct reading r = of_share(used, limit);
    if (limit <= 0 || level < 0 || level >= MEMORY_LEVELS)
        return r;
    r.style = styles[level];
    snprintf(r.text.s, sizeof r.text.s, "%.0f %% %s", 100 * r.value, memory_level_names[level]);
    return r;
}

static struct reading read_cache(const struct input *in)
{
    int64_t size = snapshot_sum(in->s, STAT_cache_size_bytes);
    struct reading r = of_share(snapshot_sum(in->s, STAT_cache_used_bytes), size);
    if (size > 0)
        snprintf(r.text.s, sizeof r.text.s, "%.0f %% of %.30s", 100 * r.value, format_bytes(size).s);
    return r;
}

static struct reading read_pool(const struct input *in)
{
    int64_t max = snapshot_sum(in->s, STAT_pool_max), active = snapshot_sum(in->s, STAT_pool_active);
    int64_t waiting = snapshot_sum(in->s, STAT_pool_waiting);
    struct reading r = of_share(active, max);
    if (max <= 0)
        return r;
    r.style = waiting > 0 ? STYLE_bad : above(r.value, 0.75, 0.9);
    if (waiting > 0)
        snprintf(r.text.s, sizeof r.text.s, "%lld/%lld +%lld wait", (long long)active, (long long)max,
                 (long long)waiting);
    else
        snprintf(r.text.s, sizeof r.text.s, "%lld of %lld busy", (long long)active, (long long)max);
    return r;
}

static struct reading read_pool_wait(const struct input *in)
{
    struct reading r = of_quantile(&in->pool_wait, 0.95);
    if (r.value >= 0)
        snprintf(r.text.s, sizeof r.text.s, "p95 %.40s", format_quantile(&in->pool_wait, 0.95).s);
    return r;
}

static struct reading read_in_flight(const struct input *in)
{
    int64_t n = snapshot_sum(in->s, STAT_in_flight);
    return (struct reading){(double)n, 0, format_count(n), STYLE_bold};
}

void gauges_read(const struct snapshot *s, int64_t cpu_us, struct reading out[static GAUGE_COUNT])
{
    struct input *in = xcalloc(1, sizeof *in);
    in->s = s;
    in->cpu_us = cpu_us;
    snapshot_hist(s, HIST_answer, &in->answers); /* as the history has them, and its rate */
    snapshot_hist(s, HIST_pool_wait, &in->pool_wait);
#define GAUGE(name, label, join) out[GAUGE_##name] = read_##name(in);
#include "master/ctl/top/gauges.def"
#undef GAUGE
    free(in);
}
