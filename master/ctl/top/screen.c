#include "master/ctl/top/screen.h"
#include "common/clock.h"
#include "master/ctl/source.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#undef columns /* term.h names every capability of terminals by a macro */

static const struct {
    short of_256, of_8;
    attr_t attributes;
} looks[STYLE_COUNT] = {
#define STYLE(name, of_256, of_8, attributes, help) {of_256, of_8, attributes},
#include "master/ctl/styles.def"
#undef STYLE
};

static attr_t attributes[STYLE_COUNT]; /* with its colour */
static SCREEN *screen;                 /* NULL: the terminal is as it was */
static const int ending[] = {SIGTERM, SIGINT, SIGHUP};
static volatile sig_atomic_t ended_by;
static sigset_t mask_before;

/* ---- given back in an emergency ---- */

static struct termios termios_before;
static char restoring[256]; /* what the terminal is sent */

/* Without the delays that a terminal's description may ask for. */
static void add_sequence(const char *name)
{
    const char *text = tigetstr((char *)(uintptr_t)name);
    size_t len = strlen(restoring);
    if (text == NULL || text == (const char *)-1)
        return;
    while (*text != '\0' && len < sizeof restoring - 1) {
        const char *end = strncmp(text, "$<", 2) == 0 ? strchr(text, '>') : NULL;
        if (end == NULL)
            restoring[len++] = *text++;
        else
            text = end + 1;
    }
    restoring[len] = '\0';
}

/* In a handler of signals ncurses must not be called: what it would send is sent as it was kept. */
static void restore(void)
{
    if (screen == NULL)
        return;
    (void)!write(STDOUT_FILENO, restoring, strlen(restoring));
    tcsetattr(STDIN_FILENO, TCSANOW, &termios_before);
}

static void restore_told(const char *words)
{
    (void)words;
    restore();
}

/* ---- signals ---- */

static void on_ending(int sig)
{
    ended_by = sig;
}

/* They come only while screen_wait() waits, so that none is missed. ncurses leaves signals alone that are caught. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_ending};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
        sigaction(ending[i], &action, NULL);
        sigaddset(&blocked, ending[i]);
    }
    sigaddset(&blocked, SIGWINCH);
    sigprocmask(SIG_BLOCK, &blocked, &mask_before);
}

/* ---- setup ---- */

static void set_looks(void)
{
    const char *no_color = getenv("NO_COLOR");
    bool colors = has_colors() && (no_color == NULL || *no_color == '\0');
    if (colors) {
        start_color();
        use_default_colors();
    }
    for (int i = 0; i < STYLE_COUNT; i++) {
        short color = COLORS >= 256 ? looks[i].of_256 : looks[i].of_8;
        attributes[i] = looks[i].attributes;
        if (colors && color >= 0 && init_pair((short)(i + 1), color, -1) == OK)
            attributes[i] |= (attr_t)COLOR_PAIR(i + 1);
    }
}

bool screen_setup(struct err *err)
{
    const char *term = getenv("TERM");
    tcgetattr(STDIN_FILENO, &termios_before);
    catch_signals();
    SCREEN *made = newterm(NULL, stdout, stdin);
    if (made == NULL) {
        sigprocmask(SIG_SETMASK, &mask_before, NULL);
        return err_set(err, "the terminal \"%s\" (TERM) is not known, or can do too little; use --once",
                       term ? term : "");
    }
    static const char *const sequences[] = {"sgr0", "cnorm", "rmkx", "rmcup"};
    restoring[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
        add_sequence(sequences[i]);
    screen = made;
    source_at_cut = restore;
    check_told = restore_told;
    cbreak();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    set_looks();
    return true;
}

void screen_teardown(void)
{
    endwin();
    delscreen(screen);
    screen = NULL;
    source_at_cut = NULL;
    check_told = NULL;
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        signal(ending[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* ---- use ---- */

void screen_size(int *rows_out, int *columns_out)
{
    getmaxyx(stdscr, *rows_out, *columns_out);
}

static void draw_row(const struct page *page, int row, wchar_t *text)
{
    const struct cell *cells = page->cells + row * page->columns;
    for (int at = 0, end; at < page->columns; at = end) {
        for (end = at; end < page->columns && cells[end].style == cells[at].style; end++)
            text[end] = cells[end].glyph;
        attrset((int)attributes[cells[at].style]);
        mvaddnwstr(row, at, text + at, end - at);
    }
}

void screen_draw(const struct page *page)
{
    wchar_t *text = xcalloc((size_t)page->columns, sizeof *text);
    erase();
    for (int row = 0; row < page->rows; row++)
        draw_row(page, row, text);
    free(text);
    refresh();
}

bool screen_wait(int64_t timeout_us)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t us = MAX(timeout_us, INT64_C(0));
    struct timespec timeout = {us / US_PER_S, us % US_PER_S * 1000};
    if (ppoll(&input, 1, &timeout, &mask_before) < 0)
        return errno == EINTR && ended_by == 0;
    return (input.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0 && ended_by == 0;
}

int screen_key(void)
{
    int key = getch();
    return key == ERR ? SCREEN_NO_KEY : key;
}

int screen_ended_by(void)
{
    return ended_by;
}
