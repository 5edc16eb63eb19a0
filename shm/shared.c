#include "shm/shared.h"
#include "common/folder.h"
#include "shm/cache.h"
#include "shm/events.h"
#include "shm/fault.h"
#include "shm/heavy.h"
#include "shm/history.h"
#include "shm/memory.h"
#include "shm/rowset.h"
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
    if (!memory_available(memory_root(), &limit) || conf->cache.size_bytes <= limit.bytes)
        return true;
    return err_set(err, "cache: size is %lld MB, but only %lld MB are left to take (%s)",
                   (long long)(conf->cache.size_bytes >> 20), (long long)(limit.bytes >> 20), limit.source);
}

/* Those that were not handed over. The rows' are everybody's, the master's is its own. */
static bool make_eventfds(struct shared *shared, struct err *err)
{
    shared->master_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool ok = shared->master_fd >= 0;
    for (int i = 0; i < BOARD_ROWS && ok; i++) {
        if (shared->wake_fd[i] < 0)
            shared->wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ok = shared->wake_fd[i] >= 0;
    }
    return ok || err_set(err, "cannot create an eventfd: %s", strerror(errno));
}

static void name_parts(struct shared *shared)
{
    shared->tags = shared->control.tags;
    shared->board = shared->control.board;
    shared->flights = shared->control.flights;
    shared->permits = shared->control.permits;
    shared->rates = shared->control.rates;
    shared->owners = shared->control.owners;
    shared->pressure = shared->control.pressure;
    shared->purge = shared->control.purge;
}

/* Workers that are not root read the file for the admin's listener. */
static bool give_stats(struct shared *shared, const struct conf *conf, struct err *err)
{
    return geteuid() != 0 || conf->user == NULL || stats_give(shared->stats, conf->gid, err);
}

/* What is missing yet. */
static bool create_rest(struct shared *shared, const struct conf *conf, struct err *err)
{
    char path[4200];
    if (!folder_create(conf->run_dir, err) || (shared->cache == NULL && !fits_memory(conf, err)) ||
        !make_eventfds(shared, err))
        return false;
    snprintf(path, sizeof path, "%s/perfd.stats", conf->run_dir);
    if (shared->control.segment == NULL && !control_create(&shared->control, err))
        return false;
    name_parts(shared);
    if (shared->cache == NULL)
        shared->cache = cache_create(conf->cache.size_bytes, conf->cache.entries, shared->tags, err);
    if (shared->cache != NULL && shared->stats == NULL)
        shared->stats = stats_stage(path, conf->workers, conf->route_count + SPARE_ROUTES, err);
    return shared->cache != NULL && shared->stats != NULL && give_stats(shared, conf, err);
}

static void init(struct shared *shared)
{
    FAULT_INIT();
    *shared = (struct shared){.master_fd = -1, .control = {.fd = -1}};
    memset(shared->wake_fd, -1, sizeof shared->wake_fd);
}

bool shared_create(struct shared *shared, const struct conf *conf, struct err *err)
{
    init(shared);
    bool ok = create_rest(shared, conf, err) && stats_show(shared->stats, err);
    if (ok)
        stats_set_conf(shared->stats, conf->file);
    else
        shared_destroy(shared);
    return ok;
}

/* ---- caches of several sizes ---- */

static struct cache **place_of(struct shared *shared, const struct cache *cache)
{
    for (int i = 0; i < SHARED_CACHES; i++)
        if (shared->others[i] == cache)
            return &shared->others[i];
    return NULL;
}

struct cache *shared_make_cache(struct shared *shared, const struct conf *conf, struct err *err)
{
    struct cache **place = place_of(shared, NULL);
    if (place == NULL) {
        err_set(err, "cache: size changes again while processes with the sizes before it have not ended yet");
        return NULL;
    }
    if (!fits_memory(conf, err))
        return NULL;
    *place = cache_create(conf->cache.size_bytes, conf->cache.entries, shared->tags, err);
    if (*place != NULL)
        cache_count_on(*place, shared->cache);
    return *place;
}

void shared_use_cache(struct shared *shared, struct cache *cache)
{
    struct cache **place = place_of(shared, cache);
    CHECK(place != NULL);
    *place = shared->cache;
    shared->cache = cache;
}

void shared_enter(struct shared *shared, struct cache *cache)
{
    if (cache != shared->cache)
        shared_use_cache(shared, cache);
    cache_close_fd(cache);
    for (int i = 0; i < SHARED_CACHES; i++)
        if (shared->others[i] != NULL)
            cache_destroy(&shared->others[i]);
}

void shared_sweep(struct shared *shared, bool (*is_used)(void *arg, const struct cache *cache), void *arg)
{
    for (int i = 0; i < SHARED_CACHES; i++)
        if (shared->others[i] != NULL && !is_used(arg, shared->others[i]))
            cache_destroy(&shared->others[i]);
}

/* ---- from one master to the next ---- */

void shared_hand(const struct shared *shared, struct shared_handed *handed)
{
    *handed = (struct shared_handed){
        .control_fd = shared->control.fd, .cache_fd = cache_fd(shared->cache), .stats_fd = stats_fd(shared->stats)};
    memcpy(handed->wake_fd, shared->wake_fd, sizeof handed->wake_fd);
}

static void close_handed(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void tell_why(char why[static SHARED_WHY_BYTES], const char *what, const char *reason)
{
    size_t len = strlen(why);
    snprintf(why + len, SHARED_WHY_BYTES - len, "%s%s: %s", len > 0 ? ", " : "", what, reason);
}

static void attach_control(struct shared *shared, const struct shared_handed *handed, uint64_t redis,
                           char why[static SHARED_WHY_BYTES])
{
    struct err err;
    bool fits = handed->control_fd >= 0 && control_attach(&shared->control, handed->control_fd, &err);
    if (handed->control_fd < 0)
        err_set(&err, "it was not handed over");
    if (fits && tags_redis(shared->control.tags) != redis) {
        control_destroy(&shared->control);
        tell_why(why, "control segment", "it belongs to another Redis");
    } else if (!fits) {
        close_handed(handed->control_fd);
        tell_why(why, "control segment", err.text);
    }
    shared->cold = shared->control.segment == NULL;
    for (int i = 0; i < BOARD_ROWS; i++) {
        if (!shared->cold)
            shared->wake_fd[i] = handed->wake_fd[i];
        else
            close_handed(handed->wake_fd[i]);
    }
}

static void attach_rest(struct shared *shared, const struct conf *conf, const struct shared_handed *handed,
                        char why[static SHARED_WHY_BYTES])
{
    struct err err = {"it was not handed over"};
    if (!shared->cold && handed->cache_fd >= 0)
        shared->cache =
            cache_open(handed->cache_fd, conf->cache.size_bytes, conf->cache.entries, shared->control.tags, &err);
    if (shared->cache == NULL) {
        close_handed(handed->cache_fd);
        if (!shared->cold)
            tell_why(why, "cache", err.text);
    }
    err_set(&err, "it was not handed over");
    if (!shared->cold && handed->stats_fd >= 0)
        shared->stats = stats_attach(handed->stats_fd, conf->workers, &err);
    if (shared->stats == NULL) {
        close_handed(handed->stats_fd);
        if (!shared->cold)
            tell_why(why, "statistics", err.text);
    }
}

bool shared_attach(struct shared *shared, const struct conf *conf, const struct shared_handed *handed, uint64_t redis,
                   char why[static SHARED_WHY_BYTES], struct err *err)
{
    init(shared);
    *why = '\0';
    attach_control(shared, handed, redis, why);
    attach_rest(shared, conf, handed, why);
    bool ok = create_rest(shared, conf, err);
    if (ok && shared->cold)
        shared_cool(shared);
    if (!ok)
        shared_destroy(shared);
    return ok;
}

void shared_cool(struct shared *shared)
{
    tags_suspend(shared->tags);
}

void shared_warm(struct shared *shared, int64_t doubt_us)
{
    tags_owe_redis(shared->tags);
    tags_resume(shared->tags);
    tags_set_doubt(shared->tags, doubt_us);
}

void shared_forget(struct shared *shared)
{
    if (shared->control.fd >= 0)
        close(shared->control.fd);
    shared->control.fd = -1;
    cache_close_fd(shared->cache); /* of the others shared_enter() */
    stats_close_fd(shared->stats);
}

/* ---- living with it ---- */

void shared_doubt(struct shared *shared)
{
    tags_owe_redis(shared->tags);
    tags_raise_epoch(shared->tags);
}

bool shared_reap(struct shared *shared, int proc, int64_t now_us)
{
    bool wrote = board_writes(shared->board, proc) > 0;
    if (wrote)
        shared_doubt(shared);
    cache_reap(shared->cache, proc);
    for (int i = 0; i < SHARED_CACHES; i++)
        if (shared->others[i] != NULL)
            cache_reap(shared->others[i], proc); /* in one that it did not use it has nothing */
    flight_reap(shared->flights, proc);
    permits_reap(shared->permits, proc, now_us, &shared->permit_debts);
    if (shared->stats != NULL) {
        slow_reap(stats_slow(shared->stats), proc);
        events_reap(stats_events(shared->stats), proc);
        history_reap(shared->stats, proc);
        heavy_reap(shared->stats, proc);
    }
    board_set_state(shared->board, proc, PROC_FREE);
    for (int i = 0; i < (MUTANT(wake_one) ? 1 : BOARD_ROWS); i++)
        rowset_wake_one(i, shared->wake_fd);
    return wrote;
}

int64_t shared_settle(struct shared *shared, int64_t now_us)
{
    int64_t doubt_us = tags_doubt_us(shared->tags);
    if (doubt_us > 0 && now_us >= doubt_us && tags_end_doubt(shared->tags, doubt_us)) {
        shared_doubt(shared);
        doubt_us = tags_doubt_us(shared->tags);
    }
    int64_t next_us = permits_settle(shared->permits, &shared->permit_debts, now_us, shared->wake_fd);
    return doubt_us > 0 ? MIN(next_us, doubt_us) : next_us;
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
        shared_enter(shared, shared->cache);
    if (shared->cache != NULL)
        cache_destroy(&shared->cache);
    control_destroy(&shared->control);
    stats_close(&shared->stats);
}
