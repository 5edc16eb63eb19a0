/* A table on a page: sorted, filtered, with a chosen row, and as many columns as there is room for. It is filled anew
 * for each drawing; what the user chose stays in its state. */
#ifndef MASTER_CTL_TOP_GRID_H
#define MASTER_CTL_TOP_GRID_H

#include "master/ctl/page.h"

enum { GRID_ID_BYTES = 160, GRID_FILTER_BYTES = 64, GRID_LINE = 24 /* columns of a line of the last minutes */ };

struct grid_column {
    const char *title;
    bool left;      /* a text; it is filtered by, and sorted from a to z */
    int rank;       /* of two that there is no room for, the one with the higher rank goes; 0 stays, as does what is
                     * sorted by */
    bool stretch;   /* may be cut, down to a few columns */
    bool both_ends; /* it is cut in its middle */
};

struct grid_state {
    int sort;       /* a column */
    bool down;      /* the largest first */
    bool moved;     /* the row called id stays chosen wherever it goes; false: the one that is at row now */
    int row, first; /* chosen, and the first on the page: of the rows that pass the filter */
    char id[GRID_ID_BYTES];
    char filter[GRID_FILTER_BYTES];
};

struct grid;

struct grid *grid_create(const struct grid_column *columns, int count) MUST_USE;
void grid_destroy(struct grid **grid);
/* The next row, and what tells it from the others, also tomorrow. */
void grid_row(struct grid *grid, const char *id);
/* Its next cell: of a text, of a figure that is sorted by key, of a line of GRID_LINE values. */
void grid_text(struct grid *grid, enum style style, const char *fmt, ...) PRINTF(3, 4);
void grid_figure(struct grid *grid, enum style style, double key, const char *text);
void grid_line(struct grid *grid, enum style style, const double *values);

/* Filters and sorts, and brings the state in line with what there is. Before any of the following. */
void grid_arrange(struct grid *grid, struct grid_state *state);
int grid_rows(const struct grid *grid);                                           /* that pass the filter */
const char *grid_chosen(const struct grid *grid, const struct grid_state *state); /* id; NULL: there is no row */
/* Heads, and rows below them, in so many rows of the page; chosen: the row is marked. */
void grid_draw(const struct grid *grid, struct grid_state *state, struct page *page, int row, int rows, bool chosen);
/* Every cell of the chosen row with its title, one below the other, texts whole, in so many rows of the page. */
void grid_draw_chosen(const struct grid *grid, const struct grid_state *state, struct page *page, int row, int rows);

#endif
