#include "master/ctl/top/view.h"

#include <stdio.h>

enum { TOTAL = -1 };

static const struct grid_column columns[] = {
    {.title = "SLOT"},
    {.title = "MAX"},
    {.title = "ACTIVE"},
    {.title = "IDLE", .rank = 1},
    {.title = "SAT"},
    {.title = "WAITING"},
    {.title = "QUERIES"},
    {.title = "DB P50", .rank = 2},
    {.title = "DB P95"},
    {.title = "WAIT P95"},
    {.title = "ERRORS", .rank = 3},
    {.title = "TIMEOUTS", .rank = 4},
    {.title = "REJECTED", .rank = 5},
    {.title = "MAX WAIT", .rank = 7},
    {.title = "CONNECTING", .rank = 8},
    {.title = "OPENED", .rank = 6},
    {.title = "COMBINED", .rank = 9},
    {.title = "PIPELINED", .rank = 10},
};

static int64_t value_of(const struct snapshot *s, int slot, enum metric stat)
{
    return slot == TOTAL ? snapshot_sum(s, stat) : snapshot_get(s, slot, stat);
}

static void put_count(struct grid *grid, const struct snapshot *s, int slot, enum metric stat, enum style style)
{
    int64_t n = value_of(s, slot, stat);
    grid_figure(grid, n > 0 ? style : STYLE_dim, (double)n, format_count(n).s);
}

static void put_rate(struct grid *grid, const struct snapshot *s, int slot, enum metric stat)
{
    double rate = rate_of(s, value_of(s, slot, stat));
    grid_figure(grid, rate > 0 ? STYLE_plain : STYLE_dim, rate, rate > 0 ? format_rate(rate).s : "-");
}

/* As the rules of `check` take it. */
static void put_saturation(struct grid *grid, const struct snapshot *s, int slot)
{
    int64_t active = value_of(s, slot, STAT_pool_active), max = value_of(s, slot, STAT_pool_max);
    double share = max > 0 ? (double)active / (double)max : 0;
    grid_figure(grid,
                share >= 0.9    ? STYLE_bad
                : share >= 0.75 ? STYLE_warn
                                : STYLE_plain,
                share, format_percent(active, max).s);
}

static void put_quantile(struct grid *grid, const struct snapshot *s, int slot, enum stat_hist hist, double q)
{
    struct histogram h;
    if (slot == TOTAL)
        snapshot_hist(s, hist, &h);
    else
        h = *snapshot_slot_hist(s, slot, hist);
    grid_figure(grid, STYLE_plain, (double)histogram_quantile_us(&h, q), format_quantile(&h, q).s);
}

static void put_row(struct grid *grid, const struct snapshot *s, int slot)
{
    char id[16];
    snprintf(id, sizeof id, "%d", slot);
    grid_row(grid, id);
    grid_figure(grid, STYLE_bold, slot == TOTAL ? s->slots : slot, slot == TOTAL ? "all" : id);
    put_count(grid, s, slot, STAT_pool_max, STYLE_plain);
    put_count(grid, s, slot, STAT_pool_active, STYLE_bold);
    put_count(grid, s, slot, STAT_pool_idle, STYLE_plain);
    put_saturation(grid, s, slot);
    put_count(grid, s, slot, STAT_pool_waiting, STYLE_bad);
    put_rate(grid, s, slot, STAT_pool_queries);
    put_quantile(grid, s, slot, HIST_database, 0.50);
    put_quantile(grid, s, slot, HIST_database, 0.95);
    put_quantile(grid, s, slot, HIST_pool_wait, 0.95);
    put_count(grid, s, slot, STAT_pool_errors, STYLE_bad);
    put_count(grid, s, slot, STAT_pool_timeouts, STYLE_bad);
    put_count(grid, s, slot, STAT_pool_rejected, STYLE_bad);
    put_quantile(grid, s, slot, HIST_pool_wait, 1);
    put_count(grid, s, slot, STAT_pool_connecting, STYLE_warn);
    put_count(grid, s, slot, STAT_pool_opened, STYLE_plain);
    put_rate(grid, s, slot, STAT_pool_combined);
    put_rate(grid, s, slot, STAT_pool_pipelined);
}

static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    for (int slot = 0; slot < s->slots; slot++)
        if (model_has_slot(m, slot))
            put_row(grid, s, slot);
    put_row(grid, s, TOTAL);
}

const struct view view_pool = {columns, ARRAY_LEN(columns), 0, false, fill};
