#include "master/ctl/top/view.h"
#include "master/ctl/words.h"

#include <stdio.h>
#include <stdlib.h>

static const struct grid_column columns[] = {
    {.title = "NUMBER"},
    {.title = "AGO"},
    {.title = "ROUTE", .left = true, .stretch = true},
    {.title = "TOOK"},
    {.title = "WAIT", .rank = 2},
    {.title = "ROWS"},
    {.title = "STATE", .left = true, .rank = 1},
    {.title = "SLOT", .rank = 4},
    {.title = "QUERY", .left = true, .rank = 5},
    {.title = "PARAMETERS", .left = true, .rank = 3, .stretch = true},
};

static void put_row(struct grid *grid, const struct model *m, const struct slow_query *q)
{
    struct text number = format_id((int64_t)q->number);
    int64_t ago_us = MAX(m->seen_us - q->at_us, INT64_C(0));
    struct buf params = {0};
    grid_row(grid, number.s);
    grid_figure(grid, STYLE_plain, (double)q->number, number.s);
    grid_figure(grid, STYLE_plain, (double)ago_us, format_age(ago_us).s);
    grid_text(grid, STYLE_plain, "%s", q->route);
    grid_figure(grid, STYLE_bold, (double)q->run_us, format_us(q->run_us).s);
    grid_figure(grid, STYLE_plain, (double)q->wait_us, format_us(q->wait_us).s);
    grid_figure(grid, STYLE_plain, (double)q->rows, format_count(q->rows).s);
    grid_text(grid, q->state[0] ? STYLE_bad : STYLE_dim, "%s", q->state[0] ? q->state : "-");
    grid_figure(grid, STYLE_plain, q->slot, format_id(q->slot).s);
    grid_text(grid, STYLE_dim, "%016llx", (unsigned long long)q->fingerprint);
    words_params(&params, q);
    grid_text(grid, STYLE_plain, "%.*s", (int)params.len, params.len > 0 ? params.at : "");
    buf_deinit(&params);
}

static void fill(const struct model *m, struct grid *grid)
{
    const struct ring *ring = stats_view_section(m->view, SECTION_slow);
    struct slow_query *queries = xcalloc(SLOW_ENTRIES, sizeof *queries);
    int count = ring != NULL ? slow_read(ring, queries) : 0;
    for (int i = 0; i < count; i++)
        put_row(grid, m, &queries[i]);
    free(queries);
}

const struct view view_slow = {columns, ARRAY_LEN(columns), 0, true, fill};
