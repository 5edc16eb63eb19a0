#include "master/ctl/top/grid.h"
#include "master/ctl/chart.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may be cut has a quarter of the page before others have anything. */
enum { COLUMNS_MAX = 24, FIGURE_MIN = 6, STRETCH_MIN = 20, STRETCH_SHARE = 4 };

struct grid_cell {
    char *text;
    double key;
    double *line; /* NULL: it is none */
    enum style style;
};

struct grid_line_of {
    char id[GRID_ID_BYTES];
    struct grid_cell cells[COLUMNS_MAX];
};

struct grid {
    const struct grid_column *columns;
    int column_count, row_count, row_cap, next_cell;
    struct grid_line_of *rows;
    int *order, shown; /* rows that pass the filter, sorted */
};

/* ---- filling ---- */

struct grid *grid_create(const struct grid_column *columns, int count)
{
    struct grid *g = xcalloc(1, sizeof *g);
    CHECK(count <= COLUMNS_MAX);
    g->columns = columns;
    g->column_count = g->next_cell = count;
    return g;
}

void grid_destroy(struct grid **doomed)
{
    struct grid *g = *doomed;
    *doomed = NULL;
    if (g == NULL)
        return;
    for (int row = 0; row < g->row_count; row++)
        for (int i = 0; i < g->column_count; i++) {
            free(g->rows[row].cells[i].text);
            free(g->rows[row].cells[i].line);
        }
    free(g->rows);
    free(g->order);
    free(g);
}

void grid_row(struct grid *g, const char *id)
{
    CHECK(g->next_cell == g->column_count);
    if (g->row_count == g->row_cap)
        g->rows = xrealloc(g->rows, (size_t)(g->row_cap = g->row_cap ? 2 * g->row_cap : 32) * sizeof *g->rows);
    struct grid_line_of *row = &g->rows[g->row_count++];
    *row = (struct grid_line_of){0};
    snprintf(row->id, sizeof row->id, "%s", id);
    g->next_cell = 0;
}

static struct grid_cell *next_cell(struct grid *g, enum style style)
{
    CHECK(g->row_count > 0 && g->next_cell < g->column_count);
    struct grid_cell *cell = &g->rows[g->row_count - 1].cells[g->next_cell++];
    cell->style = style;
    return cell;
}

void grid_text(struct grid *g, enum style style, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    CHECK(vasprintf(&next_cell(g, style)->text, fmt, args) >= 0);
    va_end(args);
}

void grid_figure(struct grid *g, enum style style, double key, const char *text)
{
    struct grid_cell *cell = next_cell(g, style);
    cell->key = key;
    cell->text = xstrdup(text);
}

/* Sorted by its latest value. */
void grid_line(struct grid *g, enum style style, const double *values)
{
    struct grid_cell *cell = next_cell(g, style);
    cell->key = isnan(values[GRID_LINE - 1]) ? -1 : values[GRID_LINE - 1];
    cell->text = xstrdup("");
    cell->line = xcalloc(GRID_LINE, sizeof *cell->line);
    memcpy(cell->line, values, GRID_LINE * sizeof *cell->line);
}

/* ---- filtering and sorting ---- */

static bool passes(const struct grid *g, const struct grid_line_of *row, const char *filter)
{
    for (int i = 0; i < g->column_count; i++)
        if (g->columns[i].left && strcasestr(row->cells[i].text, filter) != NULL)
            return true;
    return *filter == '\0';
}

struct sorting {
    const struct grid *grid;
    int column;
    bool down;
};

/* Rows that are equal stay in the order in which they were filled. */
static int compare(const void *a, const void *b, void *arg)
{
    const struct sorting *sorting = arg;
    int first = *(const int *)a, second = *(const int *)b;
    const struct grid_cell *x = &sorting->grid->rows[first].cells[sorting->column];
    const struct grid_cell *y = &sorting->grid->rows[second].cells[sorting->column];
    int order =
        sorting->grid->columns[sorting->column].left ? strcmp(x->text, y->text) : (x->key > y->key) - (x->key < y->key);
    return order != 0 ? (sorting->down ? -order : order) : first - second;
}

static int place_of(const struct grid *g, const char *id)
{
    for (int i = 0; i < g->shown; i++)
        if (strcmp(g->rows[g->order[i]].id, id) == 0)
            return i;
    return -1;
}

void grid_arrange(struct grid *g, struct grid_state *state)
{
    struct sorting sorting = {g, state->sort, state->down};
    CHECK(g->next_cell == g->column_count);
    free(g->order);
    g->order = xcalloc((size_t)g->row_count + 1, sizeof *g->order);
    g->shown = 0;
    for (int row = 0; row < g->row_count; row++)
        if (passes(g, &g->rows[row], state->filter))
            g->order[g->shown++] = row;
    qsort_r(g->order, (size_t)g->shown, sizeof *g->order, compare, &sorting);
    int place = state->moved ? place_of(g, state->id) : -1;
    if (place >= 0)
        state->row = place;
    state->row = MAX(MIN(state->row, g->shown - 1), 0);
    const char *id = grid_chosen(g, state);
    if (id != NULL && (place < 0 || !state->moved))
        snprintf(state->id, sizeof state->id, "%s", id);
    state->moved |= state->row > 0;
}

int grid_rows(const struct grid *g)
{
    return g->shown;
}

const char *grid_chosen(const struct grid *g, const struct grid_state *state)
{
    return state->row < g->shown ? g->rows[g->order[state->row]].id : NULL;
}

/* ---- drawing ---- */

struct layout {
    bool shown[COLUMNS_MAX];
    int width[COLUMNS_MAX], gap;
};

static int total_width(const struct grid *g, const struct layout *l)
{
    int total = 0;
    for (int i = 0; i < g->column_count; i++)
        if (l->shown[i])
            total += l->width[i] + (total > 0 ? l->gap : 0);
    return total;
}

/* As wide as what is in them, and the arrow beside the title; a figure that has a digit more now shall not move all
 * others. */
static void measure(const struct grid *g, struct layout *l, int sort)
{
    for (int i = 0; i < g->column_count; i++) {
        l->shown[i] = true;
        l->width[i] = page_width(g->columns[i].title) + (i == sort);
        if (!g->columns[i].left)
            l->width[i] = MAX(l->width[i], FIGURE_MIN);
        for (int row = 0; row < g->shown; row++) {
            const struct grid_cell *cell = &g->rows[g->order[row]].cells[i];
            l->width[i] = MAX(l->width[i], cell->line != NULL ? GRID_LINE : page_width(cell->text));
        }
    }
}

/* But the column that is sorted by. */
static bool drop_one(const struct grid *g, struct layout *l, int sort)
{
    int worst = -1;
    for (int i = 0; i < g->column_count; i++)
        if (l->shown[i] && i != sort && g->columns[i].rank > 0 &&
            (worst < 0 || g->columns[i].rank >= g->columns[worst].rank))
            worst = i;
    if (worst >= 0)
        l->shown[worst] = false;
    return worst >= 0;
}

/* What may be cut gives first, then columns go, then it has what is left. */
static struct layout lay_out(const struct grid *g, int sort, int columns)
{
    struct layout l = {.gap = 2};
    int wanted[COLUMNS_MAX];
    measure(g, &l, sort);
    for (int i = 0; i < g->column_count; i++) {
        wanted[i] = l.width[i];
        if (g->columns[i].stretch)
            l.width[i] = MIN(l.width[i], MAX(columns / STRETCH_SHARE, (int)STRETCH_MIN));
    }
    while (total_width(g, &l) > columns && drop_one(g, &l, sort)) {
    }
    if (total_width(g, &l) > columns)
        l.gap = 1;
    for (int i = 0; i < g->column_count; i++)
        if (g->columns[i].stretch && l.shown[i])
            l.width[i] = MAX(MIN(wanted[i], l.width[i] + columns - total_width(g, &l)), 1);
    return l;
}

static void draw_heads(const struct grid *g, const struct grid_state *state, const struct layout *l, struct page *page,
                       int row)
{
    for (int i = 0, at = 0; i < g->column_count; i++) {
        if (!l->shown[i])
            continue;
        const char *title = g->columns[i].title;
        int width = page_width(title), from = g->columns[i].left ? at : at + l->width[i] - width;
        page_put(page, row, from, i == state->sort ? STYLE_sorted : STYLE_head, "%s", title);
        if (i == state->sort)
            page_put(page, row, from > at ? from - 1 : from + width, STYLE_head, "%s",
                     !page_has_glyphs() ? (state->down ? "v" : "^")
                     : state->down      ? "▼"
                                        : "▲");
        at += l->width[i] + l->gap;
    }
}

/* A route is told from the others by both its ends. */
static void draw_middle_cut(struct page *page, int row, int column, int width, enum style style, const char *text)
{
    int head = width / 3, tail = width - head - 1;
    const char *end = page_behind(text, page_width(text) - tail);
    page_put(page, row, column, style, "%.*s", (int)(page_behind(text, head) - text), text);
    page_put(page, row, column + head, style, "%s", page_has_glyphs() ? "…" : "~");
    page_put(page, row, column + head + 1, style, "%s", end);
}

static void draw_cell(struct page *page, int row, int at, int width, const struct grid_column *column,
                      const struct grid_cell *cell)
{
    if (cell->line != NULL)
        chart_line(page, row, at, cell->style, cell->line, GRID_LINE, 0);
    else if (column->both_ends && page_width(cell->text) > width)
        draw_middle_cut(page, row, at, width, cell->style, cell->text);
    else
        page_field(page, row, at, width, !column->left, cell->style, cell->text);
}

static void draw_row(const struct grid *g, const struct grid_line_of *line, const struct layout *l, struct page *page,
                     int row)
{
    for (int i = 0, at = 0; i < g->column_count; i++) {
        if (!l->shown[i])
            continue;
        draw_cell(page, row, at, l->width[i], &g->columns[i], &line->cells[i]);
        at += l->width[i] + l->gap;
    }
}

void grid_draw(const struct grid *g, struct grid_state *state, struct page *page, int row, int rows, bool chosen)
{
    struct layout l = lay_out(g, state->sort, page->columns);
    int room = MAX(rows - 1, 0);
    draw_heads(g, state, &l, page, row);
    state->first = MIN(MAX(state->first, state->row - room + 1), state->row);
    state->first = MAX(MIN(state->first, g->shown - room), 0);
    for (int i = 0; i < MIN(room, g->shown - state->first); i++) {
        draw_row(g, &g->rows[g->order[state->first + i]], &l, page, row + 1 + i);
        if (chosen && state->first + i == state->row)
            page_style(page, row + 1 + i, 0, page->columns, STYLE_selected);
    }
    if (g->shown == 0)
        page_put(page, row + 1, 0, STYLE_dim, *state->filter ? "nothing passes the filter" : "nothing yet");
}

/* In lines as wide as there is room for, above `end`. Returns the row below it. */
static int draw_wrapped(struct page *page, int row, int end, int column, enum style style, const char *text)
{
    int room = MAX(page->columns - column, 8);
    do {
        const char *next = page_behind(text, room);
        page_put(page, row++, column, style, "%.*s", (int)(next - text), text);
        text = next;
    } while (*text != '\0' && row < end);
    return row;
}

void grid_draw_chosen(const struct grid *g, const struct grid_state *state, struct page *page, int row, int rows)
{
    CHECK(state->row < g->shown);
    const struct grid_line_of *line = &g->rows[g->order[state->row]];
    int title = 0, end = row + rows;
    for (int i = 0; i < g->column_count; i++)
        title = MAX(title, page_width(g->columns[i].title));
    for (int i = 0; i < g->column_count && row < end; i++) {
        if (line->cells[i].line != NULL)
            continue;
        page_put(page, row, 1, STYLE_head, "%s", g->columns[i].title);
        row = draw_wrapped(page, row, end, title + 3, line->cells[i].style, line->cells[i].text);
    }
}
