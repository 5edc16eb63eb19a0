#include "master/ctl/top/model.h"
#include "common/clock.h"
#include "shm/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int route_track(int row, enum route_track track)
{
    return GAUGE_COUNT + ROUTE_TRACKS * row + (int)track;
}

void route_answers(const struct snapshot *s, int row, struct histogram *out)
{
    *out = (struct histogram){0};
    for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++)
        histogram_add(out, snapshot_route_hist(s, row, (enum route_hist)kind));
}

/* Of each process, and of all of them in us; a worker that took another's place has used what it has since its start.
 */
static int64_t read_cpu(struct model *m, const struct snapshot *earlier)
{
    int64_t all_us = 0;
    free(m->cpu);
    m->cpu = xcalloc((size_t)(m->now->slots - STATS_KEEPER), sizeof *m->cpu);
    for (int slot = STATS_KEEPER; slot < m->now->slots; slot++) {
        int64_t us = snapshot_get(m->now, slot, STAT_cpu_us);
        if (earlier != NULL && slot < earlier->slots &&
            snapshot_get(earlier, slot, STAT_pid) == snapshot_get(m->now, slot, STAT_pid))
            us -= snapshot_get(earlier, slot, STAT_cpu_us);
        us = MAX(us, INT64_C(0));
        m->cpu[slot - STATS_KEEPER] = m->window != NULL ? (double)us / (double)m->window->span_us : -1;
        all_us += us;
    }
    return m->window != NULL ? all_us : -1;
}

double model_cpu(const struct model *m, int slot)
{
    CHECK(slot >= STATS_KEEPER && slot < m->now->slots);
    return m->cpu[slot - STATS_KEEPER];
}

bool model_has_slot(const struct model *m, int slot)
{
    int64_t workers = snapshot_sum(m->now, STAT_workers); /* 0: the file does not tell */
    return workers == 0 || slot < workers || snapshot_get(m->now, slot, STAT_pid) != 0;
}

/* By SIGSTOP or a debugger: nobody but the kernel can tell. */
static bool is_stopped(int pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *stat = fopen(path, "r");
    size_t len = stat != NULL ? fread(text, 1, sizeof text - 1, stat) : 0;
    text[len] = '\0';
    const char *state = strrchr(text, ')');
    if (stat != NULL)
        fclose(stat);
    return state != NULL && (state[1] == ' ') && (state[2] == 'T' || state[2] == 't');
}

static void add_sample(struct model *m)
{
    series_begin(m->series, m->now->at_us, m->window->span_us);
    for (int i = 0; i < GAUGE_COUNT; i++)
        series_set(m->series, i, m->gauges[i].value);
    for (int row = 0; row < m->window->routes; row++) {
        struct histogram answers;
        int64_t requests = snapshot_route(m->window, row, ROUTE_STAT_requests);
        series_set(m->series, route_track(row, TRACK_RATE), rate_of(m->window, requests));
        if (requests == 0)
            continue;
        route_answers(m->window, row, &answers);
        int64_t us = histogram_quantile_us(&answers, 0.95);
        series_set(m->series, route_track(row, TRACK_P95), us >= 0 ? (double)us : CHART_NOTHING);
    }
}

/* Another server has come: what was of the old one is no measure of it, and its routes may have other rows. */
static void begin_life(struct model *m)
{
    m->lives++;
    snapshot_destroy(&m->base);
    series_forget(m->series, GAUGE_COUNT);
    if (m->span == SPAN_BASELINE)
        m->span = SPAN_INTERVAL;
}

void model_take(struct model *m)
{
    struct err err;
    struct snapshot *before = m->now;
    m->now = source_take(m->source);
    m->view = source_view(m->source);
    m->seen_us = clock_wall_us();
    m->running = source_is_running(m->source);
    m->stopped = m->running && is_stopped(m->now->master_pid);
    snapshot_destroy(&m->window);
    snapshot_destroy(&m->since);
    if (before == NULL || before->started_us != m->now->started_us)
        begin_life(m);
    if (before != NULL) /* NULL too where the clock was set back: there is nothing to show of that interval */
        m->window = snapshot_between(before, m->now, &err);
    if (m->window != NULL && m->window->span_us == 0) /* it has died: there is nothing to come */
        snapshot_destroy(&m->window);
    if (m->base != NULL && (m->since = snapshot_between(m->base, m->now, &err)) == NULL)
        snapshot_destroy(&m->base);
    gauges_read(m->window != NULL ? m->window : m->now, read_cpu(m, before), m->gauges);
    if (m->window != NULL)
        add_sample(m);
    snapshot_destroy(&before);
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : CHART_NOTHING;
}

static double time_or_nothing(int64_t us)
{
    return us >= 0 ? (double)us : CHART_NOTHING;
}

/* What the history does not have has a gap. */
static void add_point(struct model *m, const struct history_point *p)
{
    const double values[GAUGE_COUNT] = {
        [GAUGE_rate] = (double)p->requests * (double)US_PER_S / (double)p->span_us,
        [GAUGE_hits] = share(p->hits, p->hits + p->misses),
        [GAUGE_errors] = share(p->errors_4xx + p->errors_5xx, p->requests),
        [GAUGE_p50] = time_or_nothing(p->p50_us),
        [GAUGE_p95] = time_or_nothing(p->p95_us),
        [GAUGE_p99] = time_or_nothing(p->p99_us),
        [GAUGE_cpu] = (double)p->cpu_us / (double)p->span_us,
        [GAUGE_memory] = CHART_NOTHING,
        [GAUGE_cache] = share(p->cache_used_bytes, snapshot_sum(m->now, STAT_cache_size_bytes)),
        [GAUGE_pool] = share(p->pool_active, p->pool_max),
        [GAUGE_pool_wait] = CHART_NOTHING,
        [GAUGE_in_flight] = (double)p->in_flight,
    };
    series_begin(m->series, p->at_us, p->span_us);
    for (int i = 0; i < GAUGE_COUNT; i++)
        series_set(m->series, i, values[i]);
}

/* The minutes until the seconds begin, then these. */
static void add_history(struct model *m)
{
    struct history_point seconds[HISTORY_POINTS], minutes[HISTORY_POINTS];
    int second_count = history_read(m->view, HISTORY_SECONDS, seconds);
    int minute_count = history_read(m->view, HISTORY_MINUTES, minutes);
    for (int i = 0; i < minute_count; i++)
        if (minutes[i].span_us > 0 && (second_count <= 0 || minutes[i].at_us <= seconds[0].at_us))
            add_point(m, &minutes[i]);
    for (int i = 0; i < second_count; i++)
        if (seconds[i].span_us > 0)
            add_point(m, &seconds[i]);
}

void model_init(struct model *m, struct source *source)
{
    *m = (struct model){.source = source, .series = series_create()};
    model_take(m);
    add_history(m);
}

void model_deinit(struct model *m)
{
    snapshot_destroy(&m->now);
    snapshot_destroy(&m->window);
    snapshot_destroy(&m->base);
    snapshot_destroy(&m->since);
    series_destroy(&m->series);
    free(m->cpu);
}

/* Taken behind what is shown, so that the next take is later. */
void model_set_base(struct model *m)
{
    model_take(m);
    snapshot_destroy(&m->base);
    snapshot_destroy(&m->since);
    m->base = source_take(m->source);
    m->view = source_view(m->source);
    m->span = SPAN_BASELINE;
}

const struct snapshot *model_shown(const struct model *m, enum span *span_out)
{
    *span_out = SPAN_BASELINE;
    if (m->span == SPAN_BASELINE && m->since != NULL)
        return m->since;
    *span_out = SPAN_INTERVAL;
    if (m->span != SPAN_START && m->window != NULL)
        return m->window;
    *span_out = SPAN_START;
    return m->now;
}
