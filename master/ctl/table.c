#include "master/ctl/table.h"
#include "master/ctl/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 24, GAP = 2 };

struct table {
    int columns;
    bool left[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    char **cells; /* the titles are the first row */
    size_t count, cap;
};

static void add_cell(struct table *t, char *text)
{
    int column = (int)(t->count % (size_t)t->columns);
    format_printable(text, "");
    if (t->count == t->cap)
        t->cells = xrealloc(t->cells, (t->cap = t->cap ? 2 * t->cap : 64) * sizeof *t->cells);
    t->cells[t->count++] = text;
    t->width[column] = MAX(t->width[column], format_width(text));
}

struct table *table_create(const char *titles)
{
    struct table *t = xcalloc(1, sizeof *t);
    char *copy = xstrdup(titles), *rest = copy, *title;
    t->columns = 1;
    for (const char *at = titles; (at = strchr(at, '|')) != NULL; at++)
        t->columns++;
    CHECK(t->columns <= COLUMNS_MAX);
    for (int i = 0; (title = strsep(&rest, "|")) != NULL; i++) {
        t->left[i] = *title == '<';
        add_cell(t, xstrdup(title + t->left[i]));
    }
    free(copy);
    return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    CHECK(vasprintf(&text, fmt, args) >= 0);
    va_end(args);
    add_cell(t, text);
}

static void print_row(const struct table *t, char *const *cells)
{
    for (int i = 0; i < t->columns; i++) {
        int blanks = t->width[i] - format_width(cells[i]);
        printf("%*s%s", (i == 0 ? 0 : GAP) + (t->left[i] ? 0 : blanks), "", cells[i]);
        if (t->left[i] && i < t->columns - 1) /* no blanks at the end of a line */
            printf("%*s", blanks, "");
    }
    putchar('\n');
}

void table_print(struct table **table)
{
    struct table *t = *table;
    CHECK(t->count % (size_t)t->columns == 0);
    for (size_t i = 0; i < t->count; i += (size_t)t->columns)
        print_row(t, t->cells + i);
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
    *table = NULL;
}
