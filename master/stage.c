#include "master/stage.h"
#include "common/log.h"
#include "master/log_files.h"
#include "shm/stats.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool begin_log(const struct conf *now, struct generation *next, struct err *err)
{
    const char *path = next->conf->error_log;
    if (strcmp(now->error_log, path) == 0)
        return true;
    next->log_fd = strcmp(path, "stderr") == 0 ? STDERR_FILENO : log_files_open(path);
    return next->log_fd >= 0 || err_set(err, "%s: error_log %s: %s", next->conf->file, path, strerror(errno));
}

static void undo_log(struct generation *next)
{
    if (next->log_fd > STDERR_FILENO)
        close(next->log_fd);
    next->log_fd = -1;
}

bool stage_begin(const struct stage *stage, const struct conf *now, struct generation *next, struct err *err)
{
    if (!listeners_stage(stage->listeners, next->conf, err))
        return false;
    if (begin_log(now, next, err) && stats_grow(stage->shared->stats, next->conf->workers, err))
        return true;
    stage_undo(stage, next);
    return false;
}

void stage_undo(const struct stage *stage, struct generation *next)
{
    listeners_unstage(stage->listeners);
    undo_log(next);
}

void stage_force(const struct stage *stage, struct generation *next, int64_t now_us)
{
    listeners_force(stage->listeners, now_us);
    if (next->log_fd < 0)
        return;
    log_info("going on in %s", next->conf->error_log);
    log_set_fd(next->log_fd);
    if (*stage->error_log_fd >= 0)
        close(*stage->error_log_fd);
    *stage->error_log_fd = next->log_fd > STDERR_FILENO ? next->log_fd : -1;
    next->log_fd = -1;
}
