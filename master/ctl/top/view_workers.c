#include "common/clock.h"
#include "master/ctl/top/view.h"
#include "master/ctl/words.h"

#include <stdio.h>

static const struct grid_column columns[] = {
    {.title = "SLOT"},
    {.title = "PID"},
    {.title = "STATE", .left = true},
    {.title = "UP", .rank = 3},
    {.title = "CPU"},
    {.title = "PRIVATE", .rank = 2},
    {.title = "RATE"},
    {.title = "IN FLIGHT", .rank = 4},
    {.title = "CLIENTS", .rank = 5},
    {.title = "RESTARTS", .rank = 6},
    {.title = "LAG P99", .rank = 8},
    {.title = "BEAT", .rank = 7},
    {.title = "LOOP", .left = true, .stretch = true},
};

static void put_count(struct grid *grid, int64_t n, enum style style)
{
    grid_figure(grid, n > 0 ? style : STYLE_dim, (double)n, format_count(n).s);
}

static void put_age(struct grid *grid, const struct model *m, int slot, enum metric stat, int64_t bad_us)
{
    int64_t at_us = snapshot_get(m->now, slot, stat), age_us = MAX(m->seen_us - at_us, INT64_C(0));
    grid_figure(grid, bad_us > 0 && age_us > bad_us ? STYLE_bad : STYLE_plain, (double)age_us,
                at_us > 0 ? format_age(age_us).s : "-");
}

/* In the last interval, of one CPU; cpu_us is a gauge, so that the difference is ours to take. */
static void put_cpu(struct grid *grid, const struct model *m, int slot)
{
    double share = model_cpu(m, slot);
    struct text text = {"-"};
    if (share >= 0)
        snprintf(text.s, sizeof text.s, "%.0f %%", 100 * share);
    grid_figure(grid, share > 0.9 ? STYLE_warn : STYLE_plain, share, text.s);
}

static void put_row(struct grid *grid, const struct model *m, const struct snapshot *s, int slot)
{
    char id[16], loop[WORDS_LOOP_BYTES];
    int64_t pid = snapshot_get(s, slot, STAT_pid), state = snapshot_get(s, slot, STAT_state);
    snprintf(id, sizeof id, "%d", slot);
    grid_row(grid, id);
    grid_figure(grid, STYLE_bold, slot, id);
    grid_figure(grid, STYLE_plain, (double)pid, pid != 0 ? format_id(pid).s : "-");
    grid_text(grid, state == PROC_READY ? STYLE_good : STYLE_warn, "%s", pid != 0 ? words_state(state) : "-");
    put_age(grid, m, slot, STAT_started_us, 0);
    put_cpu(grid, m, slot);
    grid_figure(grid, STYLE_plain, (double)snapshot_get(s, slot, STAT_private_bytes),
                format_bytes(snapshot_get(s, slot, STAT_private_bytes)).s);
    double rate = rate_of(s, snapshot_get(s, slot, STAT_requests));
    grid_figure(grid, STYLE_plain, rate, format_rate(rate).s);
    put_count(grid, snapshot_get(s, slot, STAT_in_flight), STYLE_plain);
    put_count(grid, snapshot_get(s, slot, STAT_connections), STYLE_plain);
    put_count(grid, snapshot_get(m->now, slot, STAT_restarts), STYLE_warn);
    const struct histogram *lag = snapshot_slot_hist(s, slot, HIST_loop_lag);
    grid_figure(grid, STYLE_plain, (double)histogram_quantile_us(lag, 0.99), format_quantile(lag, 0.99).s);
    put_age(grid, m, slot, STAT_beat_us, WORDS_BEAT_LATE_US);
    bool turns = words_loop(s, slot, loop);
    grid_text(grid, turns ? STYLE_dim : STYLE_bad, "%s", pid != 0 ? loop : "-");
}

static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    for (int slot = 0; slot < s->slots; slot++)
        if (model_has_slot(m, slot))
            put_row(grid, m, s, slot);
}

const struct view view_workers = {columns, ARRAY_LEN(columns), 0, false, fill};
