#include "master/ctl/top/view.h"

#include <string.h>

static const struct grid_column columns[] = {
    {.title = "FIGURE", .left = true},
    {.title = "RATE"},
    {.title = "VALUE"},
    {.title = "MEANING", .left = true, .stretch = true},
};

static void put_row(struct grid *grid, const struct snapshot *s, int index)
{
    const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[index];
    int64_t value = snapshot_sum_at(s, index);
    double rate = info->counter ? rate_of(s, value) : 0;
    enum style style = value == 0 ? STYLE_dim : STYLE_plain;
    bool bytes = strcmp(info->unit, "bytes") == 0, has_unit = bytes || strcmp(info->unit, "us") == 0;
    grid_row(grid, info->name);
    grid_text(grid, style, "%s", info->name);
    grid_figure(grid, style, rate, rate <= 0 ? "-" : bytes ? format_byte_rate(rate).s : format_rate(rate).s);
    grid_figure(grid, style, (double)value, format_value(value, has_unit ? info->unit : "").s);
    grid_text(grid, STYLE_dim, "%s%s%s", has_unit ? "" : info->unit, has_unit || !*info->unit ? "" : " ", info->help);
}

/* What says something of one process only is in the view of the workers. */
static void fill(const struct model *m, struct grid *grid)
{
    enum span span;
    const struct snapshot *s = model_shown(m, &span);
    for (int i = 0; i < s->lists[SCOPE_SLOT].count; i++)
        if (!stats_is_of_one_process(s->lists[SCOPE_SLOT].infos[i].name))
            put_row(grid, s, i);
}

const struct view view_stats = {columns, ARRAY_LEN(columns), 1, true, fill};
