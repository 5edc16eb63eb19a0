#include "master/ground.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/commands.h"
#include "master/lock.h"
#include "master/log_files.h"
#include "master/succession.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ORPHANS_LIMIT_US (5 * US_PER_S)

bool ground_open_log(struct master *m, const struct conf *conf, struct err *err)
{
    log_set_level((enum log_level)conf->log_level);
    if (strcmp(conf->error_log, "stderr") == 0)
        return true;
    m->error_log_fd = log_files_open(conf);
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

/* The workers of a perfd that was killed finish what they have. Their writes raise no tag here, so that what was read
 * beside them is dropped when the last of them must have ended. */
static void doubt_orphans(struct master *m, const struct conf *conf)
{
    int64_t left_us = conf->shutdown_timeout_us + master_longest_statement_us(conf) + US_PER_S;
    tags_set_doubt(m->shared.tags, clock_mono_us() + left_us);
}

bool ground_make(struct master *m, const struct conf *conf, struct err *err)
{
    struct inherited none = {0};
    bool killed = m->handed == NULL && lock_is_left(conf->run_dir);
    struct inherited *sockets = m->handed != NULL ? &m->handed->listen : &none;
    if (!succession_lock(m, conf, err) || !open_listeners(m, conf, sockets, killed, err))
        return false;
    inherited_close(sockets);
    if (!succession_share(m, conf, err))
        return false;
    if (killed)
        doubt_orphans(m, conf);
    if (pipe2(m->life, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_set(err, "pipe: %s", strerror(errno));
    int socket_fd = m->handed != NULL ? m->handed->socket_fd : -1;
    m->control = control_socket_create(conf->run_dir, socket_fd, commands_obey, m, err);
    return m->control != NULL && commands_watch_signals(m, err);
}

void ground_close_listeners(struct master *m)
{
    if (succession_owns(m))
        listeners_close(&m->listeners);
    else
        listeners_leave(&m->listeners);
}

void ground_clear(struct master *m, const char *run_dir)
{
    char path[4200];
    bool owns = succession_owns(m) && m->lock_fd >= 0;
    succession_end(m);
    if (m->control != NULL && owns)
        control_socket_destroy(&m->control);
    else if (m->control != NULL)
        control_socket_leave(&m->control);
    ground_close_listeners(m);
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
