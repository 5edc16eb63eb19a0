#include "master/notify.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/hold.h"
#include "master/workers_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_US (10 * US_PER_S) /* for the rest of the workers, when one is ready */
#define STATUS_EVERY_US US_PER_S
#define AGAIN_US (100 * US_PER_MS) /* the manager's queue was full */

static struct {
    int fd; /* -1: nobody asked */
    bool ready, owes_ready, ending;
    int64_t first_ready_us;
    int64_t watchdog_us, fed_us; /* 0: it does not watch */
    int64_t status_at_us;
    char status[400];  /* that was sent last */
    char refused[300]; /* the last reload; "": it was not */
} g = {.fd = -1};

/* libsystemd does the same, and maps five more libraries into each process: 1.1 MB of RSS, 140 KB of them its own
 * (measured with Debian's 252). */
static bool send_words(const char *fmt, ...) PRINTF(1, 2);
static bool send_words(const char *fmt, ...)
{
    char words[1400];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    if (g.fd < 0)
        return true;
    return send(g.fd, words, MIN((size_t)len, sizeof words - 1), MSG_NOSIGNAL) >= 0;
}

/* A line of its own, whatever it came from. */
static void copy_line(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text);
    for (; *out != '\0'; out++)
        if (*out == '\n')
            *out = ' ';
}

/* A path, or with @ a name without a file. */
static int open_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    errno = EINVAL;
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t used = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, used) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Of another process, if WATCHDOG_PID says so; a new binary is another process and watched all the same. */
static int64_t read_watchdog_us(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    bool mine = pid == NULL || atoi(pid) == (int)getpid();
    unsetenv("WATCHDOG_PID");
    return usec != NULL && mine ? MAX(strtoll(usec, NULL, 10), 0) : 0;
}

void notify_setup(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL)
        return;
    g.fd = open_socket(name);
    if (g.fd < 0)
        log_warn("NOTIFY_SOCKET %s: %s; the service manager is told nothing", name, strerror(errno));
    g.watchdog_us = read_watchdog_us();
}

void notify_forget(void)
{
    if (g.fd >= 0)
        close(g.fd);
    g.fd = -1;
}

void notify_failed(int error, const char *text)
{
    char line[1200];
    copy_line(line, sizeof line, text);
    send_words("STATUS=%s", line);
    if (error != 0)
        send_words("ERRNO=%d", error);
}

void notify_reloading(int64_t now_us)
{
    if (g.ready)
        send_words("RELOADING=1\nMONOTONIC_USEC=%" PRId64, now_us);
}

void notify_reloaded(const char *err)
{
    copy_line(g.refused, sizeof g.refused, err != NULL ? err : "");
    g.owes_ready = g.ready;
}

void notify_stopping(void)
{
    if (!g.ending)
        send_words("STOPPING=1\nSTATUS=stopping");
    g.ending = true;
}

void notify_main_pid(pid_t pid)
{
    send_words("MAINPID=%d", (int)pid);
}

/* ---- as time goes by ---- */

static int count_ready(struct workers *w, int slots)
{
    int ready = 0;
    for (int slot = 0; slot < slots; slot++) {
        const struct child *c = workers_find(w, slot, ROLE_SERVING);
        ready += c != NULL && board_state(w->start.shared->board, c->proc) == PROC_READY;
    }
    return ready;
}

static int64_t last_beat_us(const struct workers *w)
{
    int64_t last_us = 0;
    for (int i = 0; i < BOARD_ROWS; i++)
        if (w->children[i].pid > 0 && w->children[i].slot != KEEPER_SLOT)
            last_us = MAX(last_us, board_last_beat_us(w->start.shared->board, w->children[i].proc));
    return last_us;
}

static void tell_status(int ready, int slots, int number, int64_t now_us)
{
    char status[sizeof g.status];
    snprintf(status, sizeof status, "%d of %d workers serve, configuration %d%s%s", ready, slots, number,
             g.refused[0] ? "; reload refused: " : "", g.refused);
    if (strcmp(status, g.status) == 0 || !send_words("STATUS=%s", status))
        return;
    memcpy(g.status, status, sizeof g.status);
    g.status_at_us = now_us + STATUS_EVERY_US;
}

static void tell_ready(int ready, int slots, int64_t now_us)
{
    if (ready > 0 && g.first_ready_us == 0)
        g.first_ready_us = now_us;
    bool enough = ready == slots || (ready > 0 && now_us >= g.first_ready_us + PATIENCE_US);
    if (g.ready ? g.owes_ready : enough)
        g.owes_ready = !send_words("READY=1");
    g.ready = g.ready || (enough && !g.owes_ready);
}

/* A perfd whose workers all stand still shall be started anew, not one whose workers were drained. */
static void feed(struct workers *w, int slots, int64_t now_us)
{
    bool lives = last_beat_us(w) > g.fed_us || workers_are_held(w, slots);
    if (g.watchdog_us > 0 && now_us >= g.fed_us + g.watchdog_us / 2 && lives && send_words("WATCHDOG=1"))
        g.fed_us = now_us;
}

int64_t notify_step(struct workers *w, const struct generation *generation, int64_t now_us)
{
    if (g.fd < 0)
        return INT64_MAX;
    int slots = generation->conf->workers, ready = count_ready(w, slots);
    feed(w, slots, now_us);
    if (g.ending)
        return g.watchdog_us > 0 ? now_us + g.watchdog_us / 4 : INT64_MAX;
    if (now_us >= g.status_at_us)
        tell_status(ready, slots, generation->number, now_us);
    tell_ready(ready, slots, now_us);
    int64_t next_us = g.owes_ready ? now_us + AGAIN_US : INT64_MAX;
    if (!g.ready && g.first_ready_us > 0)
        next_us = MIN(next_us, g.first_ready_us + PATIENCE_US);
    if (now_us < g.status_at_us)
        next_us = MIN(next_us, g.status_at_us);
    return g.watchdog_us > 0 ? MIN(next_us, MAX(g.fed_us + g.watchdog_us / 2, now_us + g.watchdog_us / 8)) : next_us;
}
