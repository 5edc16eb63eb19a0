#include "master/ctl/top/view.h"

#include <string.h>

static const struct grid_column columns[] = {
    {.title = "FIGURE", .left = true},
    {.title = "RATE"},
    {.title = "VALUE"},
    {.title = "MEANING", .left = true, .stretch = true},
};

/* Those of the cache and of Redis, by their names: a row of stats.def is all that a new one takes. */
static bool is_shown(const char *name)
{
    return strncmp(name, "cache_", 6) == 0 || strncmp(name, "redis_", 6) == 0 || strcmp(name, "invalidations") == 0 ||
           strncmp(name, "listener_", 9) == 0 || strncmp(name, "notif", 5) == 0;
}

static void put_row(struct grid *grid, const struct snapshot *s, int index)
{
    const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[index];
    int64_t value = snapshot_sum_at(s, index);
    double rate = info->counter ? rate_of(s, value) : 0;
    enum style style = value == 0 ? STYLE_dim : STYLE_plain;
    grid_row(grid, info->name);
    grid_text(grid, style, "%s", info->name);
    grid_figure(grid, style, rate, rate > 0 ? format_rate(rate).s : "-");
    grid_figure(grid, style, (double)value, format_value(value, strcmp(info->unit, "bytes") == 0 ? "bytes" : "").s);
    grid_text(grid, STYLE_dim, "%s%s%s", info->unit, *info->unit ? " " : "", info->help);
}

static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    for (int i = 0; i < s->lists[SCOPE_SLOT].count; i++)
        if (is_shown(s->lists[SCOPE_SLOT].infos[i].name))
            put_row(grid, s, i);
}

const struct view view_cache = {columns, ARRAY_LEN(columns), 1, true, fill};
