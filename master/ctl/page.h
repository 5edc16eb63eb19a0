/* Text in rows and columns with a style in each cell: what `top` draws on a terminal, and what is printed where there
 * is none. Everything is put in UTF-8; what is no character of one column, or would steer the terminal, becomes '?'. */
#ifndef MASTER_CTL_PAGE_H
#define MASTER_CTL_PAGE_H

#include "common/base.h"

#include <wchar.h>

enum style {
#define STYLE(name, of_256, of_8, attributes, help) STYLE_##name,
#include "master/ctl/styles.def"
#undef STYLE
    STYLE_COUNT
};

struct cell {
    wchar_t glyph;
    enum style style;
};

struct page {
    int rows, columns;
    struct cell *cells;
};

struct page *page_create(int rows, int columns) MUST_USE; /* blank; setlocale() was called */
void page_destroy(struct page **page);
/* Whether what is put there can be more than ASCII, by the locale: charts look otherwise where it cannot. */
bool page_has_glyphs(void);

/* From row and column on, cut at the page's end; a place beyond it is no error. Returns the column behind the text. */
int page_put(struct page *page, int row, int column, enum style style, const char *fmt, ...) PRINTF(5, 6);
/* The same in a field of so many columns: cut there, and set to its right end if right. */
void page_field(struct page *page, int row, int column, int width, bool right, enum style style, const char *text);
void page_style(struct page *page, int row, int column, int width, enum style style); /* of what is there */
int page_width(const char *text);                                                     /* columns that it takes */
const char *page_behind(const char *text, int columns); /* what stands behind so many of them */
/* Rows from the first on, without blanks at their ends, and without empty rows at the page's. */
void page_print(const struct page *page);

#endif
