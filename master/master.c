#include "master/master.h"
#include "common/clock.h"
#include "common/folder.h"
#include "common/log.h"
#include "common/patience.h"
#include "master/adoption.h"
#include "master/control_socket.h"
#include "master/effective.h"
#include "master/generation.h"
#include "master/hang.h"
#include "master/hold.h"
#include "master/listeners.h"
#include "master/lock.h"
#include "master/log_files.h"
#include "master/memory_watch.h"
#include "master/note.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/privileges.h"
#include "master/redis_mark.h"
#include "master/replace.h"
#include "master/roll.h"
#include "master/slot_orders.h"
#include "master/title.h"
#include "master/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOP_LIMIT_US (5 * US_PER_S)
#define ORPHANS_LIMIT_US (5 * US_PER_S)

struct master {
    struct generation *generation;
    struct shared shared;
    struct listeners listeners;
    struct tls_tickets tickets; /* of all workers that there will be */
    struct workers *workers;
    struct roll *roll;
    struct control_socket *control;
    struct effective effective;
    struct memory_watch memory;
    int lock_fd, signal_fd, error_log_fd;
    int life[2]; /* workers read the first end; the second is the master's life */
    bool ending;
    int64_t kill_at_us;
};

/* ---- what signals and commands do ---- */

static void begin_end(struct master *m, int sig, int64_t limit_us, const char *how)
{
    int64_t kill_at_us = clock_mono_us() + limit_us;
    if (m->ending && sig == SIGQUIT)
        return;
    note(&m->shared, stopping, EVENT_NO_SLOT, 0, "stopping %s", how);
    m->kill_at_us = m->ending ? MIN(m->kill_at_us, kill_at_us) : kill_at_us;
    m->ending = true;
    notify_stopping();
    roll_abort(m->roll);
    /* Nobody accepts any more, so nobody shall wait for it. */
    listeners_close(&m->listeners);
    workers_stop_keeping(m->workers);
    workers_signal(m->workers, sig);
}

static void action_stop(struct master *m)
{
    begin_end(m, SIGTERM, STOP_LIMIT_US, "at once");
}

static void action_quit(struct master *m)
{
    begin_end(m, SIGQUIT, m->generation->conf->shutdown_timeout_us + US_PER_S, "gracefully");
}

static void action_reload(struct master *m)
{
    if (m->ending)
        return;
    notify_reloading(clock_mono_us());
    workers_release(m->workers, HOLD_ALL);
    roll_request(m->roll);
}

static void action_reopen(struct master *m)
{
    const char *path = m->generation->conf->error_log;
    int fd = strcmp(path, "stderr") == 0 ? -1 : log_files_open(path);
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

static void other_child(void *arg, pid_t pid)
{
    struct master *m = arg;
    roll_child_ended(m->roll, pid);
}

/* The longest that a statement may run that was sent just now. */
static int64_t longest_statement_us(const struct conf *conf)
{
    int64_t longest_us = conf->database.statement_timeout_us;
    for (int i = 0; i < conf->route_count; i++)
        longest_us = MAX(longest_us, conf->routes[i].timeout_us);
    return longest_us;
}

static void action_reap(struct master *m)
{
    int64_t now_us = clock_mono_us();
    if (workers_reap(m->workers, now_us, other_child, m))
        tags_set_doubt(m->shared.tags, now_us + longest_statement_us(m->generation->conf) + US_PER_S);
}

/* In a child: what is the master's own. */
static void forget(void *arg)
{
    struct master *m = arg;
    close(m->lock_fd);
    close(m->signal_fd);
    close(m->life[1]);
    if (roll_fd(m->roll) >= 0)
        close(roll_fd(m->roll));
    control_socket_forget(m->control);
    notify_forget();
    shared_forget(&m->shared);
}

static const char *order(struct master *m, enum control_command command, int slot)
{
    if (m->ending)
        return "perfd is stopping";
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

static void take_signals(struct master *m)
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

static void on_command(void *arg, enum control_command command, int slot)
{
    struct master *m = arg;
    switch (command) {
    case CONTROL_RELOAD:
        action_reload(m);
        if (m->ending)
            control_socket_reloaded(m->control, "perfd is stopping");
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
        control_socket_answer(m->control, order(m, command, slot));
        break;
    case CONTROL_STOP:
        action_stop(m);
        break;
    case CONTROL_QUIT:
        action_quit(m);
        break;
    }
}

static void on_rolled(void *arg, const char *err)
{
    struct master *m = arg;
    notify_reloaded(err);
    control_socket_reloaded(m->control, err);
}

/* ---- starting ---- */

static bool block_signals(struct master *m, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
#define SIGNAL(number, verb, action, doc) sigaddset(&set, number);
#include "master/signals.def"
#undef SIGNAL
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN); /* other servers' admins send it to upgrade; it would end us */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set(err, "sigprocmask: %s", strerror(errno));
    m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return m->signal_fd >= 0 || err_set(err, "signalfd: %s", strerror(errno));
}

static bool open_log(struct master *m, const struct conf *conf, struct err *err)
{
    log_set_level((enum log_level)conf->log_level);
    if (strcmp(conf->error_log, "stderr") == 0)
        return true;
    m->error_log_fd = log_files_open(conf->error_log);
    if (m->error_log_fd < 0)
        return err_set(err, "error log %s: %s", conf->error_log, strerror(errno));
    log_set_fd(m->error_log_fd);
    return true;
}

/* The workers of a perfd that was killed close their sockets as soon as they have noticed. */
static bool open_listeners(struct master *m, const struct conf *conf, bool killed, struct err *err)
{
    int64_t until_us = clock_mono_us() + (killed ? ORPHANS_LIMIT_US : 0);
    while (!listeners_open(&m->listeners, conf, err)) {
        if (clock_mono_us() >= until_us)
            return false;
        usleep(20 * US_PER_MS);
    }
    return true;
}

static bool make_ground(struct master *m, const struct conf *conf, struct err *err)
{
    bool killed = lock_is_left(conf->run_dir);
    m->lock_fd = lock_acquire(conf->run_dir, err);
    if (m->lock_fd < 0)
        return false;
    if (!open_listeners(m, conf, killed, err) || !shared_create(&m->shared, conf, err))
        return false;
    if (getrandom(&m->tickets, sizeof m->tickets, 0) != sizeof m->tickets)
        return err_set(err, "getrandom: %s", strerror(errno));
    if (pipe2(m->life, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_set(err, "pipe: %s", strerror(errno));
    m->control = control_socket_create(conf->run_dir, on_command, m, err);
    if (m->control == NULL || !block_signals(m, err))
        return false;
    redis_mark_take(conf, m->shared.tags);
    return true;
}

static bool make_workers(struct master *m, const char *conf_path, struct conf *conf, struct err *err)
{
    const struct workers_start start = {&m->shared, &m->listeners, &m->tickets, m->life[0], forget, m};
    const struct stage stage = {&m->listeners, &m->shared, &m->error_log_fd};
    const struct roll_owner owner = {on_rolled, forget, m};
    memory_watch_init(&m->memory);
    m->generation = generation_create(1, conf, &m->shared, err);
    if (m->generation == NULL)
        return false;
    generation_limit(m->generation, &m->shared);
    m->workers = workers_create(&start);
    m->roll = roll_create(conf_path, m->workers, &m->shared, &stage, &owner);
    return true;
}

/* ---- running ---- */

static int timeout_ms(int64_t until_us, int64_t now_us)
{
    if (until_us == INT64_MAX)
        return -1;
    return (int)MIN(MAX((until_us - now_us + US_PER_MS - 1) / US_PER_MS, INT64_C(0)), INT64_C(60000));
}

static void wait_for_events(struct master *m, int64_t until_us, int64_t now_us)
{
    struct pollfd fds[4 + CONTROL_CLIENTS] = {
        {m->signal_fd, POLLIN, 0}, {m->shared.master_fd, POLLIN, 0}, {roll_fd(m->roll), POLLIN, 0}};
    int controls = control_socket_poll(m->control, &fds[3]);
    uint64_t times;
    poll(fds, (nfds_t)(3 + controls), timeout_ms(until_us, now_us));
    if (fds[1].revents != 0 && read(m->shared.master_fd, &times, sizeof times) < 0)
        log_debug("the workers' eventfd was empty");
    take_signals(m);
    control_socket_ready(m->control, &fds[3], controls);
}

/* The next time that something is due. */
static int64_t keep_workers(struct master *m, int64_t now_us)
{
    int64_t next_us = workers_kill_stuck(m->workers, now_us);
    next_us = MIN(next_us, workers_keep(m->workers, KEEPER_SLOT, m->generation, now_us));
    for (int slot = 0; slot < WORKERS_MAX; slot++) {
        const struct generation *generation = roll_generation(m->roll, slot, m->generation);
        if (generation != NULL)
            next_us = MIN(next_us, workers_keep(m->workers, slot, generation, now_us));
    }
    next_us = MIN(next_us, memory_watch_step(&m->memory, m->workers, m->generation, now_us));
    return MIN(next_us, shared_settle(&m->shared, now_us));
}

static void run(struct master *m)
{
    for (;;) {
        int64_t now_us = clock_mono_us(), until_us;
        if (m->ending && workers_alive(m->workers) == 0)
            return;
        if (workers_failed_at_start(m->workers) && !m->ending)
            begin_end(m, SIGTERM, STOP_LIMIT_US, "since the first worker could not start");
        if (m->ending) {
            if (now_us >= m->kill_at_us)
                workers_signal(m->workers, SIGKILL);
            until_us = now_us >= m->kill_at_us ? now_us + 100 * US_PER_MS : m->kill_at_us;
        } else {
            until_us = roll_step(m->roll, &m->generation, now_us);
            until_us = MIN(until_us, keep_workers(m, now_us));
            until_us = MIN(until_us, workers_replace_step(m->workers, now_us));
            until_us = MIN(until_us, listeners_step(&m->listeners, now_us));
            until_us = MIN(until_us, hang_step(m->workers, m->generation->conf->hang_timeout_us, now_us));
            adoption_step(m->workers);
        }
        until_us = MIN(until_us, notify_step(m->workers, m->generation, now_us));
        wait_for_events(m, until_us, now_us);
    }
}

/* What make_ground() made, or as much of it as it came to. */
static void clear_ground(struct master *m, const char *run_dir)
{
    char path[4200];
    if (m->control != NULL)
        control_socket_destroy(&m->control);
    listeners_close(&m->listeners);
    if (m->shared.stats != NULL)
        shared_destroy(&m->shared);
    if (m->lock_fd < 0)
        return; /* the files are another's */
    snprintf(path, sizeof path, "%s/perfd.stats", run_dir);
    unlink(path);
    lock_release(m->lock_fd, run_dir);
}

static void clean_up(struct master *m)
{
    if (tags_doubt_us(m->shared.tags) == 0)
        redis_mark_leave(m->generation->conf, m->shared.tags);
    effective_deinit(&m->effective);
    roll_destroy(&m->roll);
    workers_destroy(&m->workers);
    clear_ground(m, m->generation->conf->run_dir);
    generation_destroy(&m->generation);
}

/* The error log may be a file that nobody watches yet, so standard error gets it too. */
static enum exit_code refuse(const struct master *m, const struct err *err)
{
    log_error("%s", err->text);
    notify_failed(0, err->text);
    if (m->error_log_fd >= 0)
        fprintf(stderr, "perfd: %s\n", err->text);
    return EXIT_START;
}

enum exit_code master_run(const char *conf_path, struct conf *conf)
{
    struct master m = {.lock_fd = -1, .error_log_fd = -1};
    struct err err;
    log_set_name("master");
    /* The folder first: the log may stand in it. */
    if (!folder_create(conf->run_dir, &err) || !open_log(&m, conf, &err) || !make_ground(&m, conf, &err) ||
        !make_workers(&m, conf_path, conf, &err)) {
        enum exit_code code = refuse(&m, &err);
        clear_ground(&m, conf->run_dir);
        conf_destroy(&conf);
        return code;
    }
    passed_warn();
    privileges_of_master(conf);
    log_files_give(conf);
    title_set("perfd: master %s", conf_path);
    note(&m.shared, started, EVENT_NO_SLOT, (int)getpid(), "perfd %s starts: %d workers, %d routes, configuration %s",
         PERFD_VERSION, conf->workers, conf->route_count, conf_path);
    patience_set(
        &(struct patience){PATIENCE_ENDLESS, NULL, NULL}); /* all depends on it; else it ends like any program */
    run(&m);
    bool failed = workers_failed_at_start(m.workers);
    if (failed && m.error_log_fd >= 0)
        fprintf(stderr, "perfd: the workers could not start; see %s\n", m.generation->conf->error_log);
    if (failed)
        notify_failed(0, "the workers could not start; the error log tells why");
    log_info("stopped");
    clean_up(&m);
    return failed ? EXIT_START : EXIT_DONE;
}
