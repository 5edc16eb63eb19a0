#include "common/clock.h"
#include "master/ctl/top/top.h"
#include "master/ctl/words.h"

#include <stdio.h>
#include <string.h>

/* ---- head ---- */

enum { GAUGE_COLUMNS = 40, LABEL = 10, VALUE = 15, LINE_MAX_COLUMNS = 60 };

static void draw_title(const struct top *top, struct page *page)
{
    const struct model *m = &top->model;
    char stamp[CLOCK_STAMP_BYTES], left[256], right[128];
    clock_stamp(m->seen_us, stamp);
    snprintf(right, sizeof right, "up %s, every %s, %sZ ",
             m->running ? format_age(m->seen_us - m->now->started_us).s : "-", format_age(top->interval_us).s,
             stamp + strlen("2026-11-29T"));
    int begin =
        page_put(page, 0, MAX(page->columns - page_width(right), 1), STYLE_plain, "%s", right) - page_width(right);
    snprintf(left, sizeof left, "perfd %s, pid %d in %.200s", m->now->version, m->now->master_pid, top->dir);
    page_field(page, 0, 1, begin - 2, false, STYLE_plain, left);
    page_style(page, 0, 0, page->columns, STYLE_title);
}

static void draw_gauge(const struct model *m, int64_t interval_us, struct page *page, int row, int column, int width,
                       enum gauge gauge)
{
    const struct reading *r = &m->gauges[gauge];
    double values[LINE_MAX_COLUMNS];
    int line = MIN(width - LABEL - VALUE - 3, (int)LINE_MAX_COLUMNS);
    page_put(page, row, column + 1, STYLE_dim, "%s", gauge_infos[gauge].label);
    page_field(page, row, column + LABEL, VALUE, true, r->style, r->text.s);
    if (line <= 0)
        return;
    series_columns(m->series, (int)gauge, gauge_infos[gauge].peak, MAX(MODEL_LINE_US / line, interval_us), line,
                   values);
    chart_line(page, row, column + LABEL + VALUE + 1, r->style == STYLE_bold ? STYLE_line : r->style, values, line,
               r->top);
}

/* In as many columns as there is room for. Returns the row below them. */
static int draw_gauges(const struct top *top, struct page *page, int row)
{
    int columns = MAX(MIN(page->columns / GAUGE_COLUMNS, 4), 1), rows = (GAUGE_COUNT + columns - 1) / columns;
    for (int i = 0; i < GAUGE_COUNT; i++)
        draw_gauge(&top->model, top->interval_us, page, row + i % rows, i / rows * (page->columns / columns),
                   page->columns / columns, (enum gauge)i);
    return row + rows;
}

/* ---- what is wrong ---- */

/* The slot's, if there is something. */
static bool describe_worker(const struct model *m, int slot, char *text, size_t bytes)
{
    char loop[WORDS_LOOP_BYTES];
    int64_t pid = snapshot_get(m->now, slot, STAT_pid);
    if (pid == 0)
        snprintf(text, bytes, "worker %d: none", slot);
    else if (!words_loop(m->now, slot, loop))
        snprintf(text, bytes, "worker %d (pid %lld): %.140s", slot, (long long)pid, loop);
    else
        return false;
    return true;
}

static bool describe_workers(const struct model *m, char *text, size_t bytes)
{
    char first[TOP_NOTE_BYTES] = "", other[TOP_NOTE_BYTES];
    int wrong = 0;
    for (int slot = 0; slot < m->now->slots; slot++)
        wrong += model_has_slot(m, slot) && describe_worker(m, slot, wrong == 0 ? first : other, sizeof first);
    if (wrong > 1)
        snprintf(text, bytes, "%.150s, and %d more", first, wrong - 1);
    else
        snprintf(text, bytes, "%s", first);
    return wrong > 0;
}

/* The worst thing that is wrong now, else what has happened lately, else "". */
static enum style describe(const struct top *top, char *text, size_t bytes)
{
    const struct model *m = &top->model;
    int64_t level = snapshot_sum(m->now, STAT_memory_level);
    if (!m->running) {
        snprintf(text, bytes, "perfd is not running: these are its last figures, of %s ago",
                 format_age(m->seen_us - m->now->at_us).s);
        return STYLE_bad;
    }
    if (m->stopped) {
        snprintf(text, bytes, "the master is stopped: until SIGCONT nothing is started again or reloaded");
        return STYLE_bad;
    }
    if (describe_workers(m, text, bytes))
        return STYLE_bad;
    if (*top->note != '\0' && m->seen_us < top->note_until_us)
        snprintf(text, bytes, "%s", top->note);
    else if (level > 0)
        snprintf(text, bytes, "memory is short: %s", words_memory_level(level));
    return STYLE_warn;
}

static void draw_note(const struct top *top, struct page *page, int row)
{
    char text[TOP_NOTE_BYTES] = "";
    enum style style = describe(top, text, sizeof text);
    page_field(page, row, 1, page->columns - 1, false, style, text);
}

/* ---- tables ---- */

static struct text span_words(const struct top *top)
{
    enum span span;
    struct text text;
    const struct snapshot *s = model_shown(&top->model, &span);
    struct text age = format_age(s->span_us);
    if (top->view == VIEW_slow || top->view == VIEW_events)
        snprintf(text.s, sizeof text.s, "%s", "the latest");
    else
        switch (span) {
        case SPAN_INTERVAL:
            snprintf(text.s, sizeof text.s, "last %.30s", age.s);
            break;
        case SPAN_BASELINE:
            snprintf(text.s, sizeof text.s, "%.30s since baseline", age.s);
            break;
        case SPAN_START:
            snprintf(text.s, sizeof text.s, "%.30s since start", age.s);
            break;
        }
    return text;
}

/* Side by side, with one blank between them, which is within the bar of the chosen one. Returns the column behind them.
 */
static int draw_tabs(const struct top *top, struct page *page, int row)
{
    int at = 1, chosen = 0, chosen_width = 0;
    for (int i = 0; i < VIEW_COUNT; i++) {
        int end = page_put(page, row, at, STYLE_plain, "%d %s", i + 1, top_view_names[i]);
        if (i == (int)top->view) {
            chosen = at - 1;
            chosen_width = end - chosen + 1;
        }
        at = end + 1;
    }
    page_style(page, row, chosen, chosen_width, STYLE_selected);
    return at;
}

/* The tables, and to the right of them what the figures are of, and the filter as far as there is room for it. */
static void draw_choice(const struct top *top, struct page *page, int row)
{
    int begin = draw_tabs(top, page, row);
    const char *filter = top->states[top->view].filter;
    struct text span = span_words(top);
    const char *words = top->paused ? "PAUSED" : span.s;
    int at = MAX(page->columns - page_width(words), begin);
    page_put(page, row, at, top->paused ? STYLE_warn : STYLE_bold, "%s", words);
    int width = MIN(page_width(filter) + 1, at - begin - 2);
    if (*filter != '\0' && width > 1) {
        page_put(page, row, at - width - 1, STYLE_warn, "/");
        page_field(page, row, at - width, width - 1, false, STYLE_warn, filter);
    }
}

static struct grid *fill_grid(struct top *top)
{
    const struct view *view = top_views[top->view];
    struct grid *grid = grid_create(view->columns, view->column_count);
    view->fill(&top->model, grid);
    grid_arrange(grid, &top->states[top->view]);
    return grid;
}

/* ---- detail ---- */

static int row_of(const struct snapshot *s, const char *name)
{
    for (int row = 0; row < s->routes; row++)
        if (strcmp(s->names[row], name) == 0)
            return row;
    return -1;
}

static void draw_track(const struct top *top, struct page *page, int row, int track, const char *label,
                       const char *value)
{
    double values[4 * LINE_MAX_COLUMNS];
    int line = MIN(page->columns - LABEL - VALUE - 3, (int)ARRAY_LEN(values));
    page_put(page, row, 1, STYLE_dim, "%s", label);
    page_field(page, row, LABEL, VALUE, true, STYLE_bold, value);
    series_columns(top->model.series, track, true, MAX(MODEL_LINE_US / line, top->interval_us), line, values);
    chart_line(page, row, LABEL + VALUE + 1, STYLE_line, values, line, 0);
}

static void draw_route(const struct top *top, struct page *page, int row, int rows, const char *name)
{
    enum span span;
    const struct snapshot *s = model_shown(&top->model, &span);
    int route = row_of(s, name);
    struct histogram by_kind[ROUTE_HIST_COUNT] = {0}, answers;
    if (route < 0)
        return;
    for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++)
        by_kind[kind] = *snapshot_route_hist(s, route, (enum route_hist)kind);
    route_answers(s, route, &answers);
    int64_t requests = snapshot_route(s, route, ROUTE_STAT_requests);
    page_field(page, row, 1, page->columns - 1, false, STYLE_bold, name);
    page_put(page, row + 1, 1, STYLE_plain, "%s: %s requests, p50 %s, p99 %s, max %s", span_words(top).s,
             format_count(requests).s, format_quantile(&answers, 0.50).s, format_quantile(&answers, 0.99).s,
             format_quantile(&answers, 1).s);
    draw_track(top, page, row + 2, route_track(route, TRACK_RATE), "rate", format_rate(rate_of(s, requests)).s);
    draw_track(top, page, row + 3, route_track(route, TRACK_P95), "p95", format_quantile(&answers, 0.95).s);
    chart_histograms(page, row + 5, rows - 5, by_kind);
}

static void draw_detail(struct top *top, struct page *page, int row, int rows)
{
    struct grid *grid = fill_grid(top);
    const struct grid_state *state = &top->states[top->view];
    const char *id = grid_chosen(grid, state);
    if (id == NULL)
        page_put(page, row, 1, STYLE_dim, "there is no row");
    else if (top->view == VIEW_routes)
        draw_route(top, page, row, rows, id);
    else
        grid_draw_chosen(grid, state, page, row, rows);
    grid_destroy(&grid);
}

/* ---- help and keys ---- */

static const struct {
    const char *keys, *brief, *help;
} keys[] = {
#define KEY(keys, brief, help) {keys, brief, help},
#include "master/ctl/top/keys.def"
#undef KEY
};

static void draw_help(struct page *page, int row)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++, row++) {
        page_put(page, row, 2, STYLE_bold, "%s", keys[i].keys);
        page_put(page, row, 11, STYLE_plain, "%s", keys[i].help);
    }
    page_put(page, row + 1, 2, STYLE_dim,
             "Lines are of the last two minutes, to their largest value, shares to 100 %%.");
    page_put(page, row + 2, 2, STYLE_dim, "~ is in front of a quantile with fewer than ten samples beyond it.");
    page_put(page, row + 3, 2, STYLE_dim, "TIME is a route's share of the time that all answers took together.");
}

static void draw_keys(const struct top *top, struct page *page, int row)
{
    int at = 1;
    if (top->typing) {
        at = page_put(page, row, 1, STYLE_bold, "filter: %s", top->states[top->view].filter);
        page_put(page, row, at, STYLE_selected, " ");
        page_put(page, row, at + 2, STYLE_dim, "Enter keeps it, Esc drops it");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (*keys[i].brief == '\0' || at + page_width(keys[i].keys) + page_width(keys[i].brief) + 1 > page->columns)
            continue;
        at = page_put(page, row, at, STYLE_bold, "%s", keys[i].keys);
        at = page_put(page, row, at + 1, STYLE_dim, "%s", keys[i].brief) + 2;
    }
}

/* ---- pages ---- */

static void draw_too_small(struct page *page)
{
    page_put(page, 0, 0, STYLE_bold, "%d x %d is too small:", page->columns, page->rows);
    page_put(page, 1, 0, STYLE_plain, "%d x %d at least", TOP_COLUMNS_MIN, TOP_ROWS_MIN);
}

static void draw_table(struct top *top, struct page *page, int row, int rows)
{
    struct grid *grid = fill_grid(top);
    top->page_rows = MAX(rows - 1, 1);
    grid_draw(grid, &top->states[top->view], page, row, rows, true);
    grid_destroy(&grid);
}

struct page *draw_screen(struct top *top, int rows, int columns)
{
    struct page *page = page_create(MAX(rows, 1), MAX(columns, 1));
    int row = 1, last = rows - 1;
    if (rows < TOP_ROWS_MIN || columns < TOP_COLUMNS_MIN) {
        draw_too_small(page);
        return page;
    }
    draw_title(top, page);
    if (top->mode == MODE_TABLE && rows >= 20)
        row = draw_gauges(top, page, row);
    draw_note(top, page, row++);
    switch (top->mode) {
    case MODE_TABLE:
        draw_choice(top, page, row++);
        draw_table(top, page, row, last - row);
        break;
    case MODE_DETAIL:
        draw_detail(top, page, row, last - row);
        break;
    case MODE_HELP:
        draw_help(page, row);
        break;
    }
    draw_keys(top, page, last);
    return page;
}

struct page *draw_text(struct top *top, int columns)
{
    struct grid *grid = fill_grid(top);
    int rows = grid_rows(grid) + 2, row = 1;
    struct page *page = page_create(rows + GAUGE_COUNT + 4, columns);
    draw_title(top, page);
    row = draw_gauges(top, page, row);
    draw_note(top, page, row);
    page_put(page, row + 1, 1, STYLE_bold, "%s, %s", top_view_names[top->view], span_words(top).s);
    grid_draw(grid, &top->states[top->view], page, row + 2, rows, false);
    grid_destroy(&grid);
    return page;
}
