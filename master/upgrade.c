#include "master/upgrade.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/program.h"
#include "master/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* After "ready" nothing is left that could take long. */
#define TAKE_LIMIT_US (5 * US_PER_S)
/* Who closed the wire is about to end: how is worth waiting for. */
#define END_LIMIT_US US_PER_S

enum upgrade_state {
    UPGRADE_IDLE,
    UPGRADE_WANTED,
    UPGRADE_CHECKING, /* child is `perfd -t`, fd its output */
    UPGRADE_STARTING, /* child is the new master, fd the wire */
    UPGRADE_GIVING    /* it was told that all is its own */
};

struct upgrade {
    const char *conf_path;
    struct upgrade_owner owner;
    enum upgrade_state state;
    int64_t limit_us, deadline_us; /* 0: as soon as it may begin */
    pid_t child;                   /* 0: none, or it has ended */
    bool ended;                    /* it has, with this status */
    int status;
    int fd, presence_fd;
    int given_fd;      /* the wire afterwards: its end tells the new master that this one is dead */
    char output[1024]; /* the end of what the check said */
    size_t output_len;
    char found[WIRE_TEXT_BYTES];
};

struct upgrade *upgrade_create(const char *conf_path, const struct upgrade_owner *owner)
{
    struct upgrade *u = xcalloc(1, sizeof *u);
    *u = (struct upgrade){.conf_path = conf_path, .owner = *owner, .fd = -1, .presence_fd = -1, .given_fd = -1};
    return u;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void upgrade_destroy(struct upgrade **u)
{
    close_fd(&(*u)->fd);
    close_fd(&(*u)->presence_fd);
    close_fd(&(*u)->given_fd);
    free(*u);
    *u = NULL;
}

void upgrade_forget(const struct upgrade *u)
{
    if (u->fd >= 0)
        close(u->fd);
    if (u->presence_fd >= 0)
        close(u->presence_fd);
    if (u->given_fd >= 0)
        close(u->given_fd);
}

void upgrade_request(struct upgrade *u, int64_t limit_us)
{
    u->limit_us = limit_us;
    if (u->state == UPGRADE_IDLE)
        u->state = UPGRADE_WANTED;
}

bool upgrade_busy(const struct upgrade *u)
{
    return u->state != UPGRADE_IDLE;
}

int upgrade_fd(const struct upgrade *u)
{
    return u->fd;
}

void upgrade_child_ended(struct upgrade *u, pid_t pid, int status)
{
    if (pid != u->child)
        return;
    u->child = 0;
    u->ended = true;
    u->status = status;
}

/* ---- ending ---- */

static void fail(struct upgrade *u, const char *why)
{
    char text[1200];
    snprintf(text, sizeof text, "%s", why); /* it may stand in what is cleared here */
    pid_t heir = u->child;
    if (u->child > 0)
        kill(u->child, SIGKILL);
    close_fd(&u->fd);
    u->state = UPGRADE_IDLE;
    u->child = 0;
    if (u->presence_fd >= 0) {
        int presence_fd = u->presence_fd;
        u->presence_fd = -1;
        u->owner.left(u->owner.arg, presence_fd, heir);
    }
    u->owner.ended(u->owner.arg, text);
}

void upgrade_abort(struct upgrade *u, int sig)
{
    if (!upgrade_busy(u))
        return;
    if (u->child > 0 && u->state != UPGRADE_CHECKING) {
        kill(u->child, sig);
        u->child = 0;
    }
    fail(u, "perfd is stopping");
}

static const char *exit_text(int status, char text[64])
{
    if (WIFSIGNALED(status))
        snprintf(text, 64, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, 64, "ended with status %d", WEXITSTATUS(status));
    return text;
}

/* ---- starting programs ---- */

static void reset_signals(void)
{
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void execute(const struct upgrade *u, bool check)
{
    const char *const argv[] = {program_path(), check ? "-t" : "-c", check ? "-c" : u->conf_path,
                                check ? u->conf_path : NULL, NULL};
    reset_signals();
    execv(program_path(), (char *const *)(uintptr_t)argv);
}

NORETURN static void be_check(const struct upgrade *u, int fd)
{
    u->owner.forget(u->owner.arg);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0)
        execute(u, true);
    dprintf(fd, "it cannot be run: %s\n", strerror(errno));
    _exit(127);
}

static void start_check(struct upgrade *u, int64_t now_us)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        fail(u, "no descriptor is free");
        return;
    }
    u->ended = false;
    u->child = fork();
    if (u->child == 0)
        be_check(u, ends[1]);
    close(ends[1]);
    u->fd = ends[0];
    if (u->child < 0) {
        u->child = 0;
        fail(u, "fork failed");
        return;
    }
    u->output_len = 0;
    u->deadline_us = now_us + u->limit_us;
    u->state = UPGRADE_CHECKING;
}

NORETURN static void be_heir(const struct upgrade *u, const struct handed *handed)
{
    char *text = handed_print(handed);
    handed_keep(handed);
    if (setenv(HANDED_VARIABLE, text, 1) == 0)
        execute(u, false);
    char why[256];
    snprintf(why, sizeof why, "%s cannot be run: %s", program_path(), strerror(errno));
    (void)wire_say(handed->wire_fd, WIRE_FAILED, why);
    _exit(127);
}

/* The new one's ends are closed here, and what was made for it alone. */
static void start_heir(struct upgrade *u, int64_t now_us)
{
    struct handed handed;
    int wire[2] = {-1, -1};
    u->owner.hand(u->owner.arg, &handed);
    bool ok = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) == 0 &&
              pipe2(handed.presence, O_CLOEXEC | O_NONBLOCK) == 0;
    handed.wire_fd = wire[1];
    u->ended = false;
    u->child = ok ? fork() : -1;
    if (u->child == 0)
        be_heir(u, &handed);
    int failed = errno;
    close_fd(&wire[1]);
    close_fd(&handed.presence[1]);
    close_fd(&handed.tickets_fd);
    free(handed.listen.fds);
    free(handed.listen.passed);
    u->fd = wire[0];
    if (u->child < 0) {
        u->child = 0;
        close_fd(&handed.presence[0]);
        fail(u, strerror(failed));
        return;
    }
    u->presence_fd = handed.presence[0];
    u->deadline_us = now_us + u->limit_us;
    u->state = UPGRADE_STARTING;
}

/* ---- the check ---- */

/* Its last bytes are kept: what is wrong stands at the end. */
static void read_output(struct upgrade *u)
{
    char more[512];
    ssize_t n;
    while ((n = read(u->fd, more, sizeof more)) > 0) {
        size_t room = sizeof u->output - 1, keep = MIN(u->output_len, room - (size_t)n);
        memmove(u->output, u->output + u->output_len - keep, keep);
        memcpy(u->output + keep, more, (size_t)n);
        u->output_len = keep + (size_t)n;
    }
    u->output[u->output_len] = '\0';
    if (n == 0)
        close_fd(&u->fd); /* or poll() would go round and round until it is reaped */
}

static const char *last_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    const char *line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    return strncmp(line, "perfd: ", 7) == 0 ? line + 7 : line;
}

static void step_check(struct upgrade *u, int64_t now_us)
{
    char text[1200], how[64];
    if (u->fd >= 0)
        read_output(u);
    if (!u->ended && now_us < u->deadline_us)
        return;
    if (!u->ended) {
        snprintf(text, sizeof text, "%s -t took longer than %.1f s", program_path(), (double)u->limit_us / US_PER_S);
        fail(u, text);
        return;
    }
    close_fd(&u->fd);
    if (WIFEXITED(u->status) && WEXITSTATUS(u->status) == 0) {
        start_heir(u, now_us);
        return;
    }
    snprintf(text, sizeof text, "%s -t %s%s%s", program_path(), exit_text(u->status, how), u->output_len ? ": " : "",
             last_line(u->output));
    fail(u, text);
}

/* ---- the new master ---- */

static void lost(struct upgrade *u)
{
    char text[256], how[64];
    snprintf(text, sizeof text, "the new perfd %s", u->ended ? exit_text(u->status, how) : "is gone");
    fail(u, text);
}

static void give(struct upgrade *u, const char *found, int64_t now_us)
{
    snprintf(u->found, sizeof u->found, "%s", found);
    u->deadline_us = now_us + TAKE_LIMIT_US;
    u->state = UPGRADE_GIVING;
    (void)wire_say(u->fd, WIRE_YOURS, "");
}

static void given(struct upgrade *u)
{
    u->state = UPGRADE_IDLE;
    u->given_fd = u->fd;
    u->fd = -1;
    close_fd(&u->presence_fd);
    u->owner.retire(u->owner.arg, u->child, u->found);
    u->owner.ended(u->owner.arg, NULL);
}

/* False: there was no message. */
static bool hear(struct upgrade *u, int64_t now_us)
{
    char text[WIRE_TEXT_BYTES];
    switch (wire_hear(u->fd, text)) {
    case WIRE_NOTHING:
        return false;
    case WIRE_CLOSED:
        close_fd(&u->fd);
        u->deadline_us = MIN(u->deadline_us, now_us + END_LIMIT_US);
        return false;
    case WIRE_FAILED:
        fail(u, text);
        return false;
    case WIRE_COLD:
        u->owner.cool(u->owner.arg);
        (void)wire_say(u->fd, WIRE_GO, "");
        break;
    case WIRE_READY:
        give(u, text, now_us);
        break;
    case WIRE_TAKEN:
        given(u);
        return false;
    case WIRE_GO:
    case WIRE_YOURS:
        break;
    }
    return true;
}

static void step_heir(struct upgrade *u, int64_t now_us)
{
    char text[128];
    while (u->fd >= 0 && hear(u, now_us)) {
    }
    if (upgrade_busy(u) && u->fd < 0 && (u->ended || now_us >= u->deadline_us)) {
        lost(u);
        return;
    }
    if (!upgrade_busy(u) || now_us < u->deadline_us)
        return;
    snprintf(text, sizeof text, "the new perfd was not ready within %.1f s", (double)u->limit_us / US_PER_S);
    fail(u, text);
}

int64_t upgrade_step(struct upgrade *u, bool may_begin, int64_t now_us)
{
    if (u->state == UPGRADE_WANTED && may_begin)
        start_check(u, now_us);
    if (u->state == UPGRADE_CHECKING)
        step_check(u, now_us);
    if (u->state == UPGRADE_STARTING || u->state == UPGRADE_GIVING)
        step_heir(u, now_us);
    return u->state == UPGRADE_IDLE || u->state == UPGRADE_WANTED ? INT64_MAX : u->deadline_us;
}
