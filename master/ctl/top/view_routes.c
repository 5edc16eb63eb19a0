#include "master/ctl/cache.h"
#include "master/ctl/top/view.h"

#include <stdlib.h>

enum {
    ROUTE,
    RATE,
    HIT,
    ERRORS,
    P50,
    P95,
    P99,
    TIME,
    TREND,
    MISS_P95,
    MAXIMUM,
    REDIS,
    COALESCED,
    NOT_MODIFIED,
    REFUSED,
    SENT
};

static const struct grid_column columns[] = {
    [ROUTE] = {.title = "ROUTE", .left = true, .stretch = true, .both_ends = true},
    [RATE] = {.title = "RATE"},
    [HIT] = {.title = "HIT"},
    [ERRORS] = {.title = "ERRORS", .rank = 1},
    [P50] = {.title = "P50", .rank = 3},
    [P95] = {.title = "P95"},
    [P99] = {.title = "P99", .rank = 2},
    [TIME] = {.title = "TIME"},
    [TREND] = {.title = "LAST MINUTES", .rank = 4},
    [MISS_P95] = {.title = "MISS P95", .rank = 5},
    [MAXIMUM] = {.title = "MAX", .rank = 6},
    [SENT] = {.title = "SENT", .rank = 7},
    [REFUSED] = {.title = "REFUSED", .rank = 8},
    [REDIS] = {.title = "REDIS", .rank = 9},
    [COALESCED] = {.title = "COALESCED", .rank = 10},
    [NOT_MODIFIED] = {.title = "304", .rank = 11},
};

/* Of all answers, by the middles of the buckets: their sum is not kept, and a bucket is at most 1.6 % wide. */
static double time_of(const struct histogram *h)
{
    double us = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0)
            us += (double)h->buckets[i] * (double)(histogram_upper_us(i) + (i > 0 ? histogram_upper_us(i - 1) : 0)) / 2;
    return us;
}

static void put_rate(struct grid *grid, const struct snapshot *s, int row, enum route_stat stat)
{
    double rate = rate_of(s, snapshot_route(s, row, stat));
    grid_figure(grid, rate > 0 ? STYLE_plain : STYLE_dim, rate, rate > 0 ? format_rate(rate).s : "-");
}

static void put_quantile(struct grid *grid, const struct histogram *h, double q)
{
    int64_t us = histogram_quantile_us(h, q);
    grid_figure(grid, us < 0 ? STYLE_dim : STYLE_plain, (double)us, format_quantile(h, q).s);
}

static void put_share(struct grid *grid, int64_t part, int64_t whole, enum style style)
{
    grid_figure(grid, whole > 0 ? style : STYLE_dim, whole > 0 ? (double)part / (double)whole : -1,
                format_percent(part, whole).s);
}

static void put_trend(struct grid *grid, const struct model *m, int row)
{
    double values[GRID_LINE];
    series_columns(m->series, route_track(row, TRACK_RATE), false, MODEL_LINE_US / GRID_LINE, GRID_LINE, values);
    grid_line(grid, STYLE_line, values);
}

static void put_row(struct grid *grid, const struct model *m, const struct snapshot *s, int row, double all_us)
{
    struct histogram answers;
    int64_t requests = snapshot_route(s, row, ROUTE_STAT_requests),
            server = snapshot_route(s, row, ROUTE_STAT_errors_5xx);
    int64_t errors = server + snapshot_route(s, row, ROUTE_STAT_errors_4xx);
    route_answers(s, row, &answers);
    grid_row(grid, s->names[row]);
    grid_text(grid, requests > 0 ? STYLE_plain : STYLE_dim, "%s", s->names[row]);
    put_rate(grid, s, row, ROUTE_STAT_requests);
    put_share(grid, snapshot_route(s, row, ROUTE_STAT_hits), cache_has_route(m->now, row) ? requests : 0, STYLE_good);
    put_share(grid, errors, requests, server > 0 ? STYLE_bad : errors > 0 ? STYLE_warn : STYLE_dim);
    put_quantile(grid, &answers, 0.50);
    put_quantile(grid, &answers, 0.95);
    put_quantile(grid, &answers, 0.99);
    put_share(grid, (int64_t)time_of(&answers), requests > 0 ? (int64_t)all_us : 0, STYLE_bold);
    put_trend(grid, m, row);
    put_quantile(grid, snapshot_route_hist(s, row, ROUTE_HIST_miss), 0.95);
    put_quantile(grid, &answers, 1);
    put_rate(grid, s, row, ROUTE_STAT_redis_hits);
    put_rate(grid, s, row, ROUTE_STAT_coalesced);
    put_rate(grid, s, row, ROUTE_STAT_not_modified);
    int64_t refused = snapshot_route(s, row, ROUTE_STAT_refused) + snapshot_route(s, row, ROUTE_STAT_limited);
    grid_figure(grid, refused > 0 ? STYLE_warn : STYLE_dim, rate_of(s, refused),
                refused > 0 ? format_rate(rate_of(s, refused)).s : "-");
    double sent = rate_of(s, snapshot_route(s, row, ROUTE_STAT_sent_bytes));
    grid_figure(grid, sent > 0 ? STYLE_plain : STYLE_dim, sent, sent > 0 ? format_byte_rate(sent).s : "-");
}

/* Row 0 is what found no row of its own, and says nothing as long as there was none. */
static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    double all_us = 0;
    for (int row = 0; row < s->routes; row++) {
        struct histogram answers;
        route_answers(s, row, &answers);
        all_us += time_of(&answers);
    }
    for (int row = 0; row < s->routes; row++)
        if (row > 0 || snapshot_route(m->now, row, ROUTE_STAT_requests) > 0)
            put_row(grid, m, s, row, all_us);
}

const struct view view_routes = {columns, ARRAY_LEN(columns), TIME, true, fill};
