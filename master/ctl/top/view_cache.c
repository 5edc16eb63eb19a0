#include "master/ctl/cache.h"
#include "master/ctl/top/view.h"

enum { ROUTE, HIT, FIRST_COLUMN };

static const struct grid_column columns[] = {
    [ROUTE] = {.title = "ROUTE", .left = true, .stretch = true, .both_ends = true},
    [HIT] = {.title = "HIT"},
#define CACHE_COLUMN(stat, text, order) [FIRST_COLUMN + CACHE_COLUMN_##stat] = {.title = (text), .rank = (order)},
#include "master/ctl/cache_columns.def"
#undef CACHE_COLUMN
};

static void put_hit(struct grid *grid, const struct snapshot *s, int row)
{
    int64_t hits, lookups;
    cache_read_lookups(s, row, &hits, &lookups);
    grid_figure(grid, lookups > 0 ? STYLE_good : STYLE_dim, lookups > 0 ? (double)hits / (double)lookups : -1,
                format_percent(hits, lookups).s);
}

/* A counter is a rate, as the figures are of some time; what is there now is an amount. */
static void put_figure(struct grid *grid, const struct snapshot *s, int row, enum route_stat stat)
{
    int64_t n = snapshot_route(s, row, stat);
    double rate = rate_of(s, n);
    enum style style = n == 0 ? STYLE_dim : stat == ROUTE_STAT_evicted ? STYLE_warn : STYLE_plain;
    if (route_stat_infos[stat].counter)
        grid_figure(grid, style, rate, rate > 0 ? format_rate(rate).s : "-");
    else
        grid_figure(grid, style, (double)n, (stat == ROUTE_STAT_kept_bytes ? format_bytes(n) : format_count(n)).s);
}

/* Also of this time nothing is told of routes that are not cached: since the start they have nothing either. */
static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    for (int row = 0; row < s->routes; row++) {
        if (!cache_has_route(m->now, row))
            continue;
        grid_row(grid, s->names[row]);
        grid_text(grid, STYLE_plain, "%s", s->names[row]);
        put_hit(grid, s, row);
        for (int i = 0; i < CACHE_COLUMNS; i++)
            put_figure(grid, s, row, cache_columns[i].stat);
    }
}

const struct view view_cache = {columns, ARRAY_LEN(columns), FIRST_COLUMN + CACHE_COLUMN_misses, true, fill};
