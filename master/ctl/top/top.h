/* The state of `perfctl top`, and what is drawn of it. */
#ifndef MASTER_CTL_TOP_TOP_H
#define MASTER_CTL_TOP_TOP_H

#include "master/ctl/top/view.h"

enum top_mode { MODE_TABLE, MODE_DETAIL, MODE_HELP };

enum { TOP_NOTE_BYTES = 200, TOP_ROWS_MIN = 12, TOP_COLUMNS_MIN = 60 };

struct top {
    struct model model;
    const char *dir;
    enum view_id view;
    enum top_mode mode;
    struct grid_state states[VIEW_COUNT];
    bool typing, paused; /* a filter is being typed; the figures stand still */
    int page_rows;       /* rows of the table on the last page: what Page Down goes by */
    int64_t interval_us;
    char note[TOP_NOTE_BYTES]; /* what has happened; "" */
    int64_t note_until_us;     /* wall clock */
};

extern const struct view *const top_views[VIEW_COUNT];
extern const char *const top_view_names[VIEW_COUNT];

/* A page of so many rows and columns for a terminal. */
struct page *draw_screen(struct top *top, int rows, int columns) MUST_USE;
/* The same for who reads it as text: every row, no keys. */
struct page *draw_text(struct top *top, int columns) MUST_USE;

/* A key, a character or one of ncurses'. False: to be ended. */
bool keys_press(struct top *top, int key) MUST_USE;

#endif
