#include "common/clock.h"
#include "master/ctl/top/top.h"

#include <curses.h>
#include <string.h>

enum { ESCAPE = 27, ERASE = 127, CTRL_H = 8, CTRL_L = 12, ENTER = '\r' };

static const int64_t intervals_ms[] = {100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000};

/* To the next step in the direction. */
static void change_interval(struct top *top, int by)
{
    int count = (int)ARRAY_LEN(intervals_ms), i = by > 0 ? 0 : count - 1;
    while (i >= 0 && i < count &&
           (by > 0 ? intervals_ms[i] * US_PER_MS <= top->interval_us : intervals_ms[i] * US_PER_MS >= top->interval_us))
        i += by;
    if (i >= 0 && i < count)
        top->interval_us = intervals_ms[i] * US_PER_MS;
}

static void type(struct top *top, int key)
{
    char *filter = top->states[top->view].filter;
    size_t len = strlen(filter);
    if (key == ENTER || key == '\n' || key == KEY_ENTER) {
        top->typing = false;
    } else if (key == ESCAPE) {
        top->typing = false;
        filter[0] = '\0';
    } else if ((key == KEY_BACKSPACE || key == ERASE || key == CTRL_H) && len > 0) {
        filter[len - 1] = '\0';
    } else if (key >= ' ' && key < ERASE && len < GRID_FILTER_BYTES - 1) {
        filter[len] = (char)key;
        filter[len + 1] = '\0';
    }
}

static void sort_beside(struct top *top, int by)
{
    const struct view *view = top_views[top->view];
    struct grid_state *state = &top->states[top->view];
    state->sort = (state->sort + by + view->column_count) % view->column_count;
    state->down = !view->columns[state->sort].left;
}

/* Beyond the ends grid_arrange() brings it back. */
static void choose_beside(struct top *top, int by)
{
    struct grid_state *state = &top->states[top->view];
    state->row += by;
    state->moved = false;
}

/* The rows of the table, once it was drawn, know which one that is. */
static void choose(struct top *top)
{
    top->states[top->view].moved = true;
}

static void show_view(struct top *top, int view)
{
    top->view = (enum view_id)view;
    top->mode = MODE_TABLE;
}

static bool move_by_key(struct top *top, int key)
{
    const int all = 1 << 20;
    int by = key == KEY_UP || key == 'k'     ? -1
             : key == KEY_DOWN || key == 'j' ? 1
             : key == KEY_PPAGE              ? -top->page_rows
             : key == KEY_NPAGE              ? top->page_rows
             : key == KEY_HOME || key == 'g' ? -all
             : key == KEY_END || key == 'G'  ? all
                                             : 0;
    if (by != 0)
        choose_beside(top, by);
    return by != 0;
}

/* What the figures are of. */
static bool change_span(struct top *top, int key)
{
    struct model *m = &top->model;
    if (key == 'b')
        model_set_base(m);
    else if (key == 'B')
        m->span = SPAN_INTERVAL;
    else if (key == 'a')
        m->span = m->span == SPAN_START ? SPAN_INTERVAL : SPAN_START;
    else if (key == 'p' || key == ' ')
        top->paused = !top->paused;
    else if (key == '+' || key == '=' || key == '-')
        change_interval(top, key == '-' ? -1 : 1);
    else
        return false;
    return true;
}

static void change_table(struct top *top, int key)
{
    struct grid_state *state = &top->states[top->view];
    if (key == '<' || key == ',' || key == KEY_LEFT)
        sort_beside(top, -1);
    else if (key == '>' || key == '.' || key == KEY_RIGHT)
        sort_beside(top, 1);
    else if (key == 'r')
        state->down = !state->down;
    else if (key == '/' && top->mode == MODE_TABLE)
        top->typing = true;
    else if (key == ESCAPE)
        state->filter[0] = '\0';
    else if (key == '\t')
        show_view(top, ((int)top->view + 1) % VIEW_COUNT);
    else if (key == KEY_BTAB)
        show_view(top, ((int)top->view + VIEW_COUNT - 1) % VIEW_COUNT);
    else if (key == ENTER || key == '\n' || key == KEY_ENTER) {
        choose(top);
        top->mode = MODE_DETAIL;
    }
}

bool keys_press(struct top *top, int key)
{
    top->note[0] = '\0';
    if (top->typing) {
        type(top, key);
        return true;
    }
    bool back = key == 'q' || key == ESCAPE || key == KEY_BACKSPACE;
    if (key == 'q' && top->mode == MODE_TABLE)
        return false;
    if (back && top->mode != MODE_TABLE)
        top->mode = MODE_TABLE;
    else if (key == '?' || key == 'h')
        top->mode = top->mode == MODE_HELP ? MODE_TABLE : MODE_HELP;
    else if (key >= '1' && key < '1' + VIEW_COUNT)
        show_view(top, key - '1');
    else if (key == CTRL_L)
        clearok(stdscr, TRUE);
    else if (!change_span(top, key) && !move_by_key(top, key))
        change_table(top, key);
    return true;
}
