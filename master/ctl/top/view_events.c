#include "common/clock.h"
#include "master/ctl/top/view.h"
#include "master/ctl/words.h"

#include <stdlib.h>

static const struct grid_column columns[] = {
    {.title = "NUMBER", .rank = 3},
    {.title = "TIME", .left = true, .rank = 2},
    {.title = "AGO"},
    {.title = "EVENT", .left = true},
    {.title = "SLOT", .rank = 1},
    {.title = "PID", .rank = 4},
    {.title = "WHAT", .left = true, .stretch = true},
};

static enum style style_of(const struct event *e)
{
    static const enum style by_level[] = {
#define INFO STYLE_plain
#define WARN STYLE_warn
#define ERROR STYLE_bad
#define EVENT(name, level, help) [EVENT_##name] = level,
#include "shm/events.def"
#undef EVENT
#undef INFO
#undef WARN
#undef ERROR
    };
    return e->kind >= 0 && e->kind < EVENT_KINDS ? by_level[e->kind] : STYLE_plain;
}

static void put_row(struct grid *grid, const struct model *m, const struct event *e)
{
    char stamp[CLOCK_STAMP_BYTES];
    struct text number = format_id((int64_t)e->number);
    int64_t ago_us = MAX(m->seen_us - e->at_us, INT64_C(0));
    clock_stamp(e->at_us, stamp);
    grid_row(grid, number.s);
    grid_figure(grid, STYLE_dim, (double)e->number, number.s);
    grid_text(grid, STYLE_dim, "%sZ", stamp);
    grid_figure(grid, STYLE_plain, (double)ago_us, format_age(ago_us).s);
    grid_text(grid, style_of(e), "%s", words_event(e));
    grid_figure(grid, STYLE_plain, e->slot, words_event_slot(e).s);
    grid_figure(grid, STYLE_plain, e->pid, e->pid != 0 ? format_id(e->pid).s : "-");
    grid_text(grid, STYLE_plain, "%s", e->text);
}

static void fill(const struct model *m, struct grid *grid)
{
    const struct ring *ring = stats_view_section(m->view, SECTION_events);
    struct event *events = xcalloc(EVENTS, sizeof *events);
    int count = ring != NULL ? events_read(ring, events) : 0;
    for (int i = 0; i < count; i++)
        put_row(grid, m, &events[i]);
    free(events);
}

const struct view view_events = {columns, ARRAY_LEN(columns), 0, true, fill};
