#include "master/ctl/page.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page *page_create(int rows, int columns)
{
    struct page *p = xcalloc(1, sizeof *p);
    *p = (struct page){.rows = rows, .columns = columns};
    p->cells = xcalloc((size_t)rows * (size_t)columns, sizeof *p->cells);
    for (int i = 0; i < rows * columns; i++)
        p->cells[i].glyph = L' ';
    return p;
}

void page_destroy(struct page **page)
{
    if (*page != NULL)
        free((*page)->cells);
    free(*page);
    *page = NULL;
}

bool page_has_glyphs(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* The next character, and its bytes: as UTF-8 whatever the locale is, since files and our own charts are. */
static wchar_t next_glyph(const char **at)
{
    const unsigned char *s = (const unsigned char *)*at;
    int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc2 ? 1 : 0, len = 1;
    wchar_t glyph = more == 0 ? (wchar_t)s[0] : (wchar_t)(s[0] & (0x3f >> more));
    for (; len <= more && (s[len] & 0xc0) == 0x80; len++)
        glyph = glyph << 6 | (wchar_t)(s[len] & 0x3f);
    *at += len;
    if (more == 0 ? glyph < L' ' || glyph >= 0x7f : len <= more || !page_has_glyphs() || wcwidth(glyph) != 1)
        return L'?';
    return glyph;
}

/* Until column end of the page. */
static int put_text(struct page *p, int row, int column, int end, enum style style, const char *text)
{
    end = MIN(end, p->columns);
    while (*text != '\0' && column < end && row >= 0 && row < p->rows) {
        wchar_t glyph = next_glyph(&text);
        if (column >= 0)
            p->cells[row * p->columns + column] = (struct cell){glyph, style};
        column++;
    }
    return column;
}

int page_put(struct page *p, int row, int column, enum style style, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    CHECK(vasprintf(&text, fmt, args) >= 0);
    va_end(args);
    column = put_text(p, row, column, p->columns, style, text);
    free(text);
    return column;
}

int page_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; width++)
        (void)next_glyph(&text);
    return width;
}

const char *page_behind(const char *text, int columns)
{
    for (; columns > 0 && *text != '\0'; columns--)
        (void)next_glyph(&text);
    return text;
}

void page_field(struct page *p, int row, int column, int width, bool right, enum style style, const char *text)
{
    int blank = width - page_width(text);
    put_text(p, row, column + (right ? MAX(blank, 0) : 0), column + width, style, text);
    if (blank < 0 && width > 1 && column + width <= p->columns)
        put_text(p, row, column + width - 1, column + width, style, page_has_glyphs() ? "…" : "~");
}

void page_style(struct page *p, int row, int column, int width, enum style style)
{
    for (int i = MAX(column, 0); i < MIN(column + width, p->columns) && row >= 0 && row < p->rows; i++)
        p->cells[row * p->columns + i].style = style;
}

static int used_columns(const struct page *p, int row)
{
    int used = p->columns;
    while (used > 0 && p->cells[row * p->columns + used - 1].glyph == L' ')
        used--;
    return used;
}

void page_print(const struct page *p)
{
    int rows = p->rows;
    while (rows > 0 && used_columns(p, rows - 1) == 0)
        rows--;
    for (int row = 0; row < rows; row++) {
        for (int i = 0, used = used_columns(p, row); i < used; i++)
            printf("%lc", (wint_t)p->cells[row * p->columns + i].glyph);
        putchar('\n');
    }
}
