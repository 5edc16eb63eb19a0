#include "master/commands.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/ground.h"
#include "master/hold.h"
#include "master/log_files.h"
#include "master/note.h"
#include "master/notify.h"
#include "master/slot_orders.h"
#include "master/succession.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOP_LIMIT_US (5 * US_PER_S)

static void begin_end(struct master *m, int sig, int64_t limit_us, const char *how)
{
    int64_t kill_at_us = clock_mono_us() + limit_us;
    if (m->ending && sig == SIGQUIT)
        return;
    note(&m->shared, stopping, EVENT_NO_SLOT, 0, "stopping %s", how);
    m->kill_at_us = m->ending ? MIN(m->kill_at_us, kill_at_us) : kill_at_us;
    m->ending = true;
    if (succession_owns(m))
        notify_stopping();
    roll_abort(m->roll);
    succession_abort(m, sig);
    /* Nobody accepts any more, so nobody shall wait for it. */
    ground_close_listeners(m);
    workers_stop_keeping(m->workers);
    workers_signal(m->workers, sig);
}

void commands_stop(struct master *m, const char *how)
{
    begin_end(m, SIGTERM, STOP_LIMIT_US, how);
}

static void action_stop(struct master *m)
{
    commands_stop(m, "at once");
}

static void action_quit(struct master *m)
{
    begin_end(m, SIGQUIT, m->generation->conf->shutdown_timeout_us + US_PER_S, "gracefully");
}

static void action_reload(struct master *m)
{
    const char *why = succession_forbids(m);
    if (why == NULL) {
        notify_reloading(clock_mono_us());
        workers_release(m->workers, HOLD_ALL);
        roll_request(m->roll);
        return;
    }
    note(&m->shared, reload_refused, EVENT_NO_SLOT, 0, "reload refused: %s", why);
    control_socket_done(m->control, CONTROL_RELOAD, 0, why, NULL);
}

static void action_upgrade(struct master *m)
{
    succession_upgrade(m);
}

static void action_reopen(struct master *m)
{
    const char *path = m->generation->conf->error_log;
    int fd = strcmp(path, "stderr") == 0 ? -1 : log_files_open(m->generation->conf);
    if (fd >= 0) {
        log_set_fd(fd);
        if (m->error_log_fd >= 0)
            close(m->error_log_fd);
        m->error_log_fd = fd;
    } else if (strcmp(path, "stderr") != 0) {
        log_error("error log %s: %s; going on with the old file", path, strerror(errno));
    }
    log_files_give(m->generation->conf);
    workers_signal(m->workers, SIGUSR1);
}

static void other_child(void *arg, pid_t pid, int status)
{
    struct master *m = arg;
    roll_child_ended(m->roll, pid);
    succession_child_ended(m, pid, status);
}

static void action_reap(struct master *m)
{
    int64_t now_us = clock_mono_us();
    if (workers_reap(m->workers, now_us, other_child, m))
        tags_set_doubt(m->shared.tags, now_us + master_longest_statement_us(m->generation->conf) + US_PER_S);
}

static const char *order(struct master *m, enum control_command command, int slot)
{
    const char *why = succession_forbids(m);
    if (why != NULL)
        return why;
    if (roll_is_busy(m->roll))
        return "a reload is under way";
    return slot_order(m->workers, m->generation, command, slot, clock_mono_us());
}

static void action_drain(struct master *m)
{
    const char *refused = order(m, CONTROL_DRAIN, HOLD_ALL);
    if (refused != NULL)
        log_error("the workers are not drained: %s", refused);
}

void commands_take_signals(struct master *m)
{
    struct signalfd_siginfo info;
    while (read(m->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH && info.ssi_code == SI_KERNEL)
            continue; /* the terminal has another size */
        switch (info.ssi_signo) {
#define SIGNAL(number, verb, action, doc)                                                                              \
    case number:                                                                                                       \
        action_##action(m);                                                                                            \
        break;
#include "master/signals.def"
#undef SIGNAL
        }
    }
}

/* Whoever asks waits for the end of it. */
static void purge(struct master *m, const struct control_order *asked)
{
    const char *why = succession_forbids(m);
    if (why == NULL)
        why = purges_add(&m->purges, m->generation->conf, asked);
    if (why != NULL)
        control_socket_answer(m->control, why);
}

void commands_obey(void *arg, const struct control_order *asked)
{
    struct master *m = arg;
    switch (asked->command) {
    case CONTROL_RELOAD:
        action_reload(m);
        break;
    case CONTROL_UPGRADE:
        action_upgrade(m);
        break;
    case CONTROL_PING:
        break;
    case CONTROL_REOPEN:
        action_reopen(m);
        break;
    case CONTROL_CONFIG:
        control_socket_tell(m->control, effective_json(&m->effective, m->generation, stats_conf(m->shared.stats)));
        break;
    case CONTROL_DRAIN:
    case CONTROL_RESUME:
    case CONTROL_REPLACE:
        control_socket_answer(m->control, order(m, asked->command, asked->slot));
        break;
    case CONTROL_PURGE:
        purge(m, asked);
        break;
    case CONTROL_STOP:
        action_stop(m);
        break;
    case CONTROL_QUIT:
        action_quit(m);
        break;
    }
}

bool commands_watch_signals(struct master *m, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
#define SIGNAL(number, verb, action, doc) sigaddset(&set, number);
#include "master/signals.def"
#undef SIGNAL
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set(err, "sigprocmask: %s", strerror(errno));
    m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return m->signal_fd >= 0 || err_set(err, "signalfd: %s", strerror(errno));
}
