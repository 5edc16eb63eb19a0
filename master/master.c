#include "master/master.h"
#include "common/clock.h"
#include "common/folder.h"
#include "common/log.h"
#include "common/patience.h"
#include "master/adoption.h"
#include "master/hang.h"
#include "master/hold.h"
#include "master/lock.h"
#include "master/log_files.h"
#include "master/note.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/privileges.h"
#include "master/redis_mark.h"
#include "master/replace.h"
#include "master/slot_orders.h"
#include "master/succession.h"
#include "master/title.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOP_LIMIT_US (5 * US_PER_S)
#define ORPHANS_LIMIT_US (5 * US_PER_S)

/* ---- what signals and commands do ---- */

static void close_listeners(struct master *m)
{
    if (succession_owns(m))
        listeners_close(&m->listeners);
    else
        listeners_leave(&m->listeners);
}

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
    close_listeners(m);
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
    const char *why = succession_forbids(m);
    if (why == NULL) {
        notify_reloading(clock_mono_us());
        workers_release(m->workers, HOLD_ALL);
        roll_request(m->roll);
        return;
    }
    note(&m->shared, reload_refused, EVENT_NO_SLOT, 0, "reload refused: %s", why);
    if (m->control != NULL)
        control_socket_done(m->control, CONTROL_RELOAD, why, NULL);
}

static void action_upgrade(struct master *m)
{
    succession_upgrade(m);
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

static void other_child(void *arg, pid_t pid, int status)
{
    struct master *m = arg;
    roll_child_ended(m->roll, pid);
    succession_child_ended(m, pid, status);
}

int64_t master_longest_statement_us(const struct conf *conf)
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
        tags_set_doubt(m->shared.tags, now_us + master_longest_statement_us(m->generation->conf) + US_PER_S);
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
    succession_forget(m);
    shared_forget(&m->shared);
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
    control_socket_done(m->control, CONTROL_RELOAD, err, NULL);
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
static bool open_listeners(struct master *m, const struct conf *conf, struct inherited *inherited, bool killed,
                           struct err *err)
{
    int64_t until_us = clock_mono_us() + (killed ? ORPHANS_LIMIT_US : 0);
    while (!listeners_open(&m->listeners, conf, inherited, err)) {
        if (clock_mono_us() >= until_us)
            return false;
        usleep(20 * US_PER_MS);
    }
    return true;
}

static bool make_ground(struct master *m, const struct conf *conf, struct err *err)
{
    struct inherited none = {0};
    if (!succession_read(m, err))
        return false;
    bool killed = m->handed == NULL && lock_is_left(conf->run_dir);
    struct inherited *sockets = m->handed != NULL ? &m->handed->listen : &none;
    if (!succession_lock(m, conf, err) || !open_listeners(m, conf, sockets, killed, err))
        return false;
    inherited_close(sockets);
    if (!succession_share(m, conf, err))
        return false;
    if (pipe2(m->life, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_set(err, "pipe: %s", strerror(errno));
    int socket_fd = m->handed != NULL ? m->handed->socket_fd : -1;
    m->control = control_socket_create(conf->run_dir, socket_fd, on_command, m, err);
    return m->control != NULL && block_signals(m, err);
}

static bool make_workers(struct master *m, const char *conf_path, struct conf *conf, struct err *err)
{
    const struct workers_start start = {&m->shared, &m->listeners, &m->tickets, m->life[0], forget, m};
    const struct stage stage = {&m->listeners, &m->shared, &m->error_log_fd};
    const struct roll_owner owner = {on_rolled, forget, m};
    memory_watch_init(&m->memory);
    m->generation = generation_create(m->handed != NULL ? m->handed->generation + 1 : 1, conf, &m->shared, err);
    if (m->generation == NULL)
        return false;
    generation_limit(m->generation, &m->shared);
    m->workers = workers_create(&start);
    m->roll = roll_create(conf_path, m->workers, &m->shared, &stage, &owner);
    succession_begin(m, conf_path, forget);
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
    struct pollfd fds[4 + SUCCESSION_FDS + CONTROL_CLIENTS] = {
        {m->signal_fd, POLLIN, 0}, {m->shared.master_fd, POLLIN, 0}, {roll_fd(m->roll), POLLIN, 0}};
    int count = 3 + succession_poll(m, &fds[3]);
    int controls = succession_owns(m) ? control_socket_poll(m->control, &fds[count]) : 0;
    uint64_t times;
    poll(fds, (nfds_t)(count + controls), timeout_ms(until_us, now_us));
    if (fds[1].revents != 0 && read(m->shared.master_fd, &times, sizeof times) < 0)
        log_debug("the workers' eventfd was empty");
    take_signals(m);
    if (controls > 0 && succession_owns(m))
        control_socket_ready(m->control, &fds[count], controls);
}

static bool is_cache_used(void *arg, const struct cache *cache)
{
    return workers_use_cache(arg, cache);
}

/* The next time that something is due. */
static int64_t keep_workers(struct master *m, int64_t now_us)
{
    if (!roll_is_busy(m->roll))
        shared_sweep(&m->shared, is_cache_used, m->workers);
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
        if (workers_failed_at_start(m->workers) && !m->ending) {
            succession_failed(m, "its workers could not start; the error log tells why");
            begin_end(m, SIGTERM, STOP_LIMIT_US, "since the first worker could not start");
        }
        if (m->ending) {
            if (now_us >= m->kill_at_us)
                workers_signal(m->workers, SIGKILL);
            until_us = now_us >= m->kill_at_us ? now_us + 100 * US_PER_MS : m->kill_at_us;
        } else {
            until_us = roll_step(m->roll, &m->generation, now_us);
            if (takeover_may_start(&m->takeover))
                until_us = MIN(until_us, keep_workers(m, now_us));
            until_us = MIN(until_us, workers_replace_step(m->workers, now_us));
            until_us = MIN(until_us, listeners_step(&m->listeners, now_us));
            until_us = MIN(until_us, hang_step(m->workers, m->generation->conf->hang_timeout_us, now_us));
            if (adoption_step(m->workers))
                until_us = MIN(until_us, now_us + OTHERS_LOOK_US);
        }
        if (succession_owns(m))
            until_us = MIN(until_us, notify_step(m->workers, m->generation, now_us));
        int64_t next_us = succession_step(m, now_us); /* MIN() would take the step twice */
        wait_for_events(m, MIN(until_us, next_us), now_us);
    }
}

/* What make_ground() made, or as much of it as it came to. */
static void clear_ground(struct master *m, const char *run_dir)
{
    char path[4200];
    bool owns = succession_owns(m) && m->lock_fd >= 0;
    succession_end(m);
    if (m->control != NULL && owns)
        control_socket_destroy(&m->control);
    else if (m->control != NULL)
        control_socket_leave(&m->control);
    close_listeners(m);
    if (m->shared.stats != NULL)
        shared_destroy(&m->shared);
    if (m->lock_fd >= 0 && !owns)
        close(m->lock_fd);
    if (!owns)
        return; /* the files are another's */
    snprintf(path, sizeof path, "%s/perfd.stats", run_dir);
    unlink(path);
    lock_release(m->lock_fd, run_dir);
}

static void clean_up(struct master *m)
{
    if (succession_owns(m) && tags_doubt_us(m->shared.tags) == 0)
        redis_mark_leave(m->generation->conf, m->shared.tags);
    effective_deinit(&m->effective);
    roll_destroy(&m->roll);
    workers_destroy(&m->workers);
    clear_ground(m, m->generation->conf->run_dir);
    generation_destroy(&m->generation);
}

/* The error log may be a file that nobody watches yet, so standard error gets it too. */
static enum exit_code refuse(struct master *m, const struct err *err)
{
    log_error("%s", err->text);
    if (succession_owns(m))
        notify_failed(0, err->text);
    succession_failed(m, err->text);
    if (m->error_log_fd >= 0)
        fprintf(stderr, "perfd: %s\n", err->text);
    return EXIT_START;
}

enum exit_code master_run(const char *conf_path, struct conf *conf)
{
    struct master m = {.lock_fd = -1, .error_log_fd = -1, .presence = {-1, -1}, .takeover = {.wire_fd = -1}};
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
    if (failed && succession_owns(&m))
        notify_failed(0, "the workers could not start; the error log tells why");
    log_info(m.retired ? "retired" : "stopped");
    clean_up(&m);
    return failed ? EXIT_START : EXIT_DONE;
}
