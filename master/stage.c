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
    next->log_fd = strcmp(path, "stderr") == 0 ? STDERR_FILENO : log_files_open(next->conf);
    return next->log_fd >= 0 || err_set(err, "%s: error_log %s: %s", next->conf->file, path, strerror(errno));
}

static void undo_log(struct generation *next)
{
    if (next->log_fd > STDERR_FILENO)
        close(next->log_fd);
    next->log_fd = -1;
}

static bool begin_cache(const struct stage *stage, const struct conf *now, struct generation *next, struct err *err)
{
    const struct conf *conf = next->conf;
    if (conf->cache.size_bytes == now->cache.size_bytes && conf->cache.entries == now->cache.entries)
        return true;
    struct cache *cache = shared_make_cache(stage->shared, conf, err);
    next->cache = cache != NULL ? cache : next->cache;
    return cache != NULL;
}

bool stage_begin(const struct stage *stage, const struct conf *now, struct generation *next, struct err *err)
{
    if (!listeners_stage(stage->listeners, next->conf, err))
        return false;
    if (begin_log(now, next, err) && stats_grow(stage->shared->stats, next->conf->workers, err) &&
        begin_cache(stage, now, next, err))
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
    if (next->cache != stage->shared->cache)
        shared_use_cache(stage->shared, next->cache);
    if (next->log_fd < 0)
        return;
    log_info("going on in %s", next->conf->error_log);
    log_set_fd(next->log_fd);
    if (*stage->error_log_fd >= 0)
        close(*stage->error_log_fd);
    *stage->error_log_fd = next->log_fd > STDERR_FILENO ? next->log_fd : -1;
    next->log_fd = -1;
}
