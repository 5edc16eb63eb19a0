#include "shm/shared.h"
#include "common/folder.h"
#include "shm/cache.h"
#include "shm/events.h"
#include "shm/fault.h"
#include "shm/memory.h"
#include "shm/slow.h"
#include "shm/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Rows for routes that later configurations add; what finds no room is counted as "(other)". */
enum { SPARE_ROUTES = 32 };

static bool fits_memory(const struct conf *conf, struct err *err)
{
    struct memory_limit limit;
    if (!memory_available("", &limit) || conf->cache.size_bytes <= limit.bytes)
        return true;
    return err_set(err, "cache: size is %lld MB, but only %lld MB are left to take (%s)",
                   (long long)(conf->cache.size_bytes >> 20), (long long)(limit.bytes >> 20), limit.source);
}

static bool make_eventfds(struct shared *shared, struct err *err)
{
    shared->master_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool ok = shared->master_fd >= 0;
    for (int i = 0; i < BOARD_ROWS && ok; i++) {
        shared->wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ok = shared->wake_fd[i] >= 0;
    }
    return ok || err_set(err, "cannot create an eventfd: %s", strerror(errno));
}

static bool create_all(struct shared *shared, const struct conf *conf, struct err *err)
{
    char path[4200];
    if (!folder_create(conf->run_dir, err) || !fits_memory(conf, err) || !make_eventfds(shared, err))
        return false;
    snprintf(path, sizeof path, "%s/perfd.stats", conf->run_dir);
    if (!control_create(&shared->control, err))
        return false;
    shared->tags = shared->control.tags;
    shared->board = shared->control.board;
    shared->flights = shared->control.flights;
    shared->permits = shared->control.permits;
    shared->rates = shared->control.rates;
    shared->cache = cache_create(conf->cache.size_bytes, conf->cache.entries, shared->tags, err);
    if (shared->cache == NULL)
        return false;
    shared->stats = stats_create(path, conf->workers, conf->route_count + SPARE_ROUTES, err);
    if (shared->stats == NULL)
        return false;
    stats_set_conf(shared->stats, conf->file);
    return true;
}

bool shared_create(struct shared *shared, const struct conf *conf, struct err *err)
{
    FAULT_INIT();
    *shared = (struct shared){.master_fd = -1};
    memset(shared->wake_fd, -1, sizeof shared->wake_fd);
    bool ok = create_all(shared, conf, err);
    if (!ok)
        shared_destroy(shared);
    return ok;
}

void shared_doubt(struct shared *shared)
{
    tags_owe_redis(shared->tags);
    tags_raise_epoch(shared->tags);
}

bool shared_reap(struct shared *shared, int proc, int64_t now_us)
{
    const uint64_t one = 1;
    bool wrote = board_writes(shared->board, proc) > 0;
    if (wrote)
        shared_doubt(shared);
    cache_reap(shared->cache, proc);
    flight_reap(shared->flights, proc);
    permits_reap(shared->permits, proc, now_us, &shared->permit_debts);
    if (shared->stats != NULL) {
        slow_reap(stats_slow(shared->stats), proc);
        events_reap(stats_events(shared->stats), proc);
    }
    board_set_state(shared->board, proc, PROC_FREE);
    for (int i = 0; i < (MUTANT(wake_one) ? 1 : BOARD_ROWS); i++) {
        ssize_t written = write(shared->wake_fd[i], &one, sizeof one);
        (void)written; /* a full counter wakes as well */
    }
    return wrote;
}

int64_t shared_settle(struct shared *shared, int64_t now_us)
{
    return permits_settle(shared->permits, &shared->permit_debts, now_us, shared->wake_fd);
}

void shared_destroy(struct shared *shared)
{
    permits_forget(&shared->permit_debts);
    for (int i = 0; i < BOARD_ROWS; i++)
        if (shared->wake_fd[i] >= 0)
            close(shared->wake_fd[i]);
    if (shared->master_fd >= 0)
        close(shared->master_fd);
    if (shared->cache != NULL)
        cache_destroy(&shared->cache);
    control_destroy(&shared->control);
    stats_close(&shared->stats);
}
