#include "master/master.h"
#include "common/clock.h"
#include "common/folder.h"
#include "common/log.h"
#include "common/patience.h"
#include "master/adoption.h"
#include "master/commands.h"
#include "master/ground.h"
#include "master/hang.h"
#include "master/log_files.h"
#include "master/note.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/privileges.h"
#include "master/redis_mark.h"
#include "master/replace.h"
#include "master/succession.h"
#include "master/title.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int64_t master_longest_statement_us(const struct conf *conf)
{
    int64_t longest_us = conf->database.statement_timeout_us;
    for (int i = 0; i < conf->route_count; i++)
        longest_us = MAX(longest_us, conf->routes[i].timeout_us);
    return longest_us;
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

static void on_rolled(void *arg, const char *err)
{
    struct master *m = arg;
    notify_reloaded(err);
    control_socket_done(m->control, CONTROL_RELOAD, 0, err, NULL);
}

static bool make_workers(struct master *m, const char *conf_path, struct conf *conf, struct err *err)
{
    const struct workers_start start = {&m->shared, &m->listeners, &m->tickets, m->life[0], forget, m};
    const struct stage stage = {&m->listeners, &m->shared, &m->error_log_fd};
    const struct roll_owner owner = {on_rolled, forget, m};
    memory_watch_init(&m->memory, &m->shared);
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
    int controls = succession_owns(m) || m->retired ? control_socket_poll(m->control, &fds[count]) : 0;
    uint64_t times;
    poll(fds, (nfds_t)(count + controls), timeout_ms(until_us, now_us));
    if (fds[1].revents != 0 && read(m->shared.master_fd, &times, sizeof times) < 0)
        log_debug("the workers' eventfd was empty");
    commands_take_signals(m);
    if (controls > 0)
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
    stats_set(m->shared.stats, STATS_KEEPER, STAT_workers, m->generation->conf->workers);
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

/* The same for all else. */
static int64_t keep_all(struct master *m, int64_t now_us)
{
    int64_t next_us = roll_step(m->roll, &m->generation, now_us);
    if (takeover_may_start(&m->takeover))
        next_us = MIN(next_us, keep_workers(m, now_us));
    next_us = MIN(next_us, workers_replace_step(m->workers, now_us));
    next_us = MIN(next_us, listeners_step(&m->listeners, now_us));
    next_us = MIN(next_us, purges_step(&m->purges, &m->shared, m->control, now_us));
    next_us = MIN(next_us, hang_step(m->workers, m->generation->conf->hang_timeout_us, now_us));
    return adoption_step(m->workers) ? MIN(next_us, now_us + OTHERS_LOOK_US) : next_us;
}

static int64_t end_all(struct master *m, int64_t now_us)
{
    if (now_us < m->kill_at_us)
        return m->kill_at_us;
    workers_signal(m->workers, SIGKILL);
    return now_us + 100 * US_PER_MS;
}

static void run(struct master *m)
{
    while (!m->ending || workers_alive(m->workers) > 0) {
        int64_t now_us = clock_mono_us();
        if (workers_failed_at_start(m->workers) && !m->ending) {
            succession_failed(m, "its workers could not start; the error log tells why");
            commands_stop(m, "since the first worker could not start");
        }
        int64_t until_us = m->ending ? end_all(m, now_us) : keep_all(m, now_us);
        if (succession_owns(m))
            until_us = MIN(until_us, notify_step(m->workers, m->generation, now_us));
        until_us = MIN(until_us, succession_step(m, now_us));
        wait_for_events(m, until_us, now_us);
    }
}

static void clean_up(struct master *m)
{
    if (succession_owns(m) && tags_doubt_us(m->shared.tags) == 0)
        redis_mark_leave(m->generation->conf, m->shared.tags);
    effective_deinit(&m->effective);
    roll_destroy(&m->roll);
    workers_destroy(&m->workers);
    ground_clear(m, m->generation->conf->run_dir);
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
    /* Who started it first, for whatever fails is told there; then the folder: the log may stand in it. */
    if (!succession_read(&m, &err) || !folder_create(conf->run_dir, &err) || !ground_open_log(&m, conf, &err) ||
        !ground_make(&m, conf, &err) || !make_workers(&m, conf_path, conf, &err)) {
        enum exit_code code = refuse(&m, &err);
        ground_clear(&m, conf->run_dir);
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
