#include "master/ctl/top/top.h"
#include "common/clock.h"
#include "master/ctl/top/screen.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TEXT_COLUMNS = 120 };
#define NOTE_US (30 * US_PER_S)

const struct view *const top_views[VIEW_COUNT] = {
#define VIEW(name, help) &view_##name,
#include "master/ctl/top/views.def"
#undef VIEW
};

const char *const top_view_names[VIEW_COUNT] = {
#define VIEW(name, help) #name,
#include "master/ctl/top/views.def"
#undef VIEW
};

static void take(struct top *top)
{
    char stamp[CLOCK_STAMP_BYTES];
    int lives = top->model.lives;
    bool had_base = top->model.base != NULL;
    model_take(&top->model);
    if (top->model.lives == lives)
        return;
    clock_stamp(top->model.now->started_us, stamp);
    snprintf(top->note, sizeof top->note, "perfd was started again at %sZ: its figures begin anew%s",
             stamp + strlen("2026-11-29T"), had_base ? ", the baseline is gone" : "");
    top->note_until_us = top->model.seen_us + NOTE_US;
}

/* ---- as text ---- */

static int text_columns(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (columns != NULL && atoi(columns) > 0)
        return MAX(MIN(atoi(columns), 1000), (int)TOP_COLUMNS_MIN);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return MAX((int)size.ws_col, (int)TOP_COLUMNS_MIN);
    return TEXT_COLUMNS;
}

/* Until it is interrupted, or who reads it has gone. */
static enum ctl_exit run_text(struct top *top, bool once)
{
    do {
        source_wait(top->interval_us);
        take(top);
        struct page *page = draw_text(top, text_columns());
        page_print(page);
        page_destroy(&page);
        if (!once)
            putchar('\n');
    } while (fflush(stdout) == 0 && !once);
    return CTL_OK; /* perfctl.c says what could not be written */
}

/* ---- on a terminal ---- */

static void draw(struct top *top)
{
    int rows, columns;
    screen_size(&rows, &columns);
    struct page *page = draw_screen(top, rows, columns);
    screen_draw(page);
    page_destroy(&page);
}

static bool press_all(struct top *top)
{
    for (int key; (key = screen_key()) != SCREEN_NO_KEY;)
        if (!keys_press(top, key))
            return false;
    return true;
}

static void run_until_told(struct top *top)
{
    int64_t taken_us = clock_mono_us();
    for (;;) {
        draw(top);
        int64_t left_us = top->paused ? US_PER_S : taken_us + top->interval_us - clock_mono_us();
        if (!screen_wait(left_us) || !press_all(top))
            return;
        if (top->paused || clock_mono_us() < taken_us + top->interval_us)
            continue;
        taken_us = clock_mono_us();
        take(top);
    }
}

static enum ctl_exit run_screen(const struct ctl *ctl, struct top *top)
{
    struct err err;
    if (!screen_setup(&err))
        return ctl_fail(ctl, err.text, "");
    run_until_told(top);
    screen_teardown();
    if (screen_ended_by() != 0)
        raise(screen_ended_by());
    return CTL_OK;
}

/* ---- the command ---- */

static bool find_view(const char *name, enum view_id *view_out)
{
    for (int i = 0; i < VIEW_COUNT; i++)
        if (strcmp(top_view_names[i], name) == 0) {
            *view_out = (enum view_id)i;
            return true;
        }
    return false;
}

static enum ctl_exit refuse_view(const char *name)
{
    char what[256] = "top shows";
    for (int i = 0; i < VIEW_COUNT; i++)
        snprintf(what + strlen(what), sizeof what - strlen(what), "%s %s", i > 0 ? "," : "", top_view_names[i]);
    snprintf(what + strlen(what), sizeof what - strlen(what), ", not");
    return ctl_wrong_usage(what, name);
}

static enum ctl_exit init(struct top *top, const struct ctl *ctl)
{
    *top = (struct top){.dir = ctl->dir, .view = VIEW_routes};
    if (ctl->output != OUTPUT_TABLE)
        return ctl_wrong_usage("top has no other output; what it shows is in routes, workers and so on", "");
    if (ctl->arg_count > 0 && !find_view(ctl->args[0], &top->view))
        return refuse_view(ctl->args[0]);
    if (!ctl_duration(ctl, OPTION_interval, US_PER_S, &top->interval_us))
        return CTL_USAGE;
    for (int i = 0; i < VIEW_COUNT; i++)
        top->states[i] = (struct grid_state){.sort = top_views[i]->sort, .down = top_views[i]->down};
    return CTL_OK;
}

enum ctl_exit command_top(const struct ctl *ctl)
{
    struct top *top = xcalloc(1, sizeof *top);
    bool once = ctl_value(ctl, OPTION_once) != NULL;
    setlocale(LC_CTYPE, "");
    enum ctl_exit code = init(top, ctl);
    if (code == CTL_OK) {
        model_init(&top->model, ctl->source);
        code = once || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ? run_text(top, once) : run_screen(ctl, top);
        model_deinit(&top->model);
    }
    free(top);
    return code;
}
