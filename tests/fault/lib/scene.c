#include "tests/fault/lib/scene.h"
#include "tests/fault/lib/actor.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WAKE_WITHIN_MS = 1000, GUARD_BYTES = 4 << 20 };

static void make_eventfds(struct shared *shared)
{
    shared->master_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < BOARD_ROWS; i++) {
        shared->wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK(shared->wake_fd[i] >= 0);
    }
}

void scene_set(struct scene *s, int64_t size_bytes, int64_t entries)
{
    struct err err;
    *s = (struct scene){.room = xmalloc(VALUE_BYTES_MAX), .now_us = SCENE_LONG_US};
    fault_init();
    fault_clear();
    make_eventfds(&s->shared);
    CHECK(control_create(&s->shared.control, &err));
    s->tags = s->shared.tags = s->shared.control.tags;
    s->flights = s->shared.flights = s->shared.control.flights;
    s->shared.board = s->shared.control.board;
    s->shared.permits = s->shared.control.permits;
    s->shared.rates = s->shared.control.rates;
    s->guard = mmap(NULL, GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(s->guard != MAP_FAILED);
    s->cache = s->shared.cache = cache_create(size_bytes, entries, s->tags, &err);
    CHECK(s->cache != NULL);
    CHECK(board_take(s->shared.board, 0, 0) == 0);
    s->notes = actor_notes();
}

void scene_strike(struct scene *s)
{
    actors_kill();
    fault_clear();
    shared_destroy(&s->shared);
    munmap(s->guard, GUARD_BYTES);
    free(s->room);
}

/* ---- the cache ---- */

static const struct cache_rules rules;

bool scene_put_born(struct scene *s, int key, uint64_t version, uint64_t born_seq)
{
    char name[VALUE_KEY_BYTES];
    struct cache_entry e;
    struct cache_key k = cache_key(s->cache, value_key(key, name));
    value_fill(key, version, s->room, &e);
    e.created_us = s->now_us;
    e.fresh_until_us = s->now_us + SCENE_TTL_US;
    e.born_seq = born_seq;
    return cache_put(s->cache, &k, &rules, &e, s->now_us);
}

bool scene_put(struct scene *s, int key, uint64_t version)
{
    return scene_put_born(s, key, version, tags_now(s->tags));
}

void scene_fill(struct scene *s, int first, int count)
{
    for (int key = first; key < first + count; key++)
        scene_put(s, key, 1);
}

bool scene_hold(struct scene *s, int key, struct cache_entry *out)
{
    char name[VALUE_KEY_BYTES];
    struct cache_key k = cache_key(s->cache, value_key(key, name));
    return cache_get(s->cache, &k, &rules, s->now_us, out) != CACHE_MISS;
}

uint64_t scene_get(struct scene *s, int key)
{
    struct cache_entry e;
    if (!scene_hold(s, key, &e))
        return 0;
    uint64_t version = value_version(key, &e);
    cache_release(&e);
    return version;
}

void scene_invalidate(struct scene *s, int key)
{
    const uint32_t tag = value_tag(key);
    tags_raise(s->tags, &tag, 1);
}

void scene_seal(struct scene *s)
{
    cache_tick(s->cache, s->now_us + SCENE_LONG_US);
}

void scene_expire(struct scene *s)
{
    scene_seal(s);
    cache_keep(s->cache, s->now_us + SCENE_LONG_US);
}

void scene_outlive(struct scene *s)
{
    s->now_us += 2 * SCENE_LONG_US;
}

/* ---- what is wrong ---- */

static char wrong[300];

struct cache_audit scene_audit(const struct scene *s)
{
    struct cache_audit a;
    cache_audit(s->cache, &a);
    return a;
}

const char *scene_wrong(const struct scene *s)
{
    struct cache_audit a = scene_audit(s);
    struct cache_usage u;
    cache_usage(s->cache, &u);
    uint64_t sum = a.free + a.open + a.sealed + a.reclaim + a.limbo + a.part + a.away;
    wrong[0] = '\0';
    if (a.wrong > 0)
        snprintf(wrong, sizeof wrong, "%llu wrong, first %s", (unsigned long long)a.wrong, a.what);
    else if (sum != u.segments)
        snprintf(wrong, sizeof wrong, "of %llu segments %llu are known", (unsigned long long)u.segments,
                 (unsigned long long)sum);
    return wrong;
}

/* What a process had begun to give back, too. */
static void have_all(struct scene *s)
{
    struct cache_given given;
    cache_give(s->cache, 0);
    do {
        scene_expire(s);
        cache_given(s->cache, &given);
    } while (given.bytes > 0);
}

const char *scene_lost(struct scene *s)
{
    have_all(s);
    struct cache_audit a = scene_audit(s);
    struct cache_usage u;
    cache_usage(s->cache, &u);
    wrong[0] = '\0';
    if (a.free != u.segments || a.pins != 0 || a.words != 0 || u.entries != 0)
        snprintf(
            wrong, sizeof wrong,
            "of %llu segments %llu free, %llu open, %llu sealed, %llu reclaimed, %llu limbo, %llu part; %llu pins, "
            "%llu words, %llu entries",
            (unsigned long long)u.segments, (unsigned long long)a.free, (unsigned long long)a.open,
            (unsigned long long)a.sealed, (unsigned long long)a.reclaim, (unsigned long long)a.limbo,
            (unsigned long long)a.part, (unsigned long long)a.pins, (unsigned long long)a.words,
            (unsigned long long)u.entries);
    return wrong;
}

/* ---- waking ---- */

bool scene_wakes(const struct scene *s, int row)
{
    struct pollfd p = {.fd = s->shared.wake_fd[row], .events = POLLIN};
    uint64_t times;
    return poll(&p, 1, WAKE_WITHIN_MS) == 1 && read(p.fd, &times, sizeof times) == sizeof times;
}

void scene_forget_wakes(const struct scene *s, int row)
{
    uint64_t times;
    ssize_t had = read(s->shared.wake_fd[row], &times, sizeof times);
    (void)had; /* none is as good */
}
