/* What the cache's tests share: one cache with its control segment, a clock that the tests move, short ways to store
 * and to look, bodies that tell whose they are, and an audit after each test. */
#ifndef TESTS_UNIT_SHM_CACHES_H
#define TESTS_UNIT_SHM_CACHES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "shm/cache.h"
#include "shm/control.h"

enum { MB = 1 << 20, SIZE = 4 * MB, ENTRIES = 1000, NAME_BYTES = 24, BODY_BYTES_MAX = 256 << 10 };
#define HEX_ETAG "\"0123456789abcdef0123456789abcdef\""
#define HEAD "content-type: application/json\r\n"

static struct control control;
static struct cache *cache;
static struct cache_rules rules; /* of the route that the test plays */
static int64_t now_us;

/* ---- before and after a test ---- */

/* In place of the one that there is. */
static inline void make(int64_t size_bytes, int64_t entries)
{
    struct err err = {""};
    if (cache != NULL)
        cache_destroy(&cache);
    cache = cache_create(size_bytes, entries, control.tags, &err);
    assert_string_equal(err.text, "");
    assert_non_null(cache);
}

static inline struct cache_usage usage(void)
{
    struct cache_usage u;
    cache_usage(cache, &u);
    return u;
}

/* Whatever has happened: everything fits together and no segment is lost. */
static inline struct cache_audit sound(void)
{
    struct cache_audit a;
    cache_audit(cache, &a);
    if (a.wrong != 0)
        fail_msg("%s and %d more", a.what, (int)a.wrong - 1);
    assert_int_equal(a.free + a.open + a.sealed + a.reclaim + a.limbo + a.part + a.away, usage().segments);
    assert_true(a.overhead_bytes <= a.live_bytes);
    return a;
}

/* When no process is at work, none was killed and nothing is borrowed. */
static inline struct cache_audit at_rest(void)
{
    struct cache_audit a = sound();
    struct cache_usage u = usage();
    assert_int_equal(a.pins, 0);
    assert_int_equal(a.reclaim, 0);
    assert_int_equal(a.duplicates, 0);
    assert_int_equal(a.words, u.entries);
    /* Open segments are filled to their end: those of two queues while the third makes room. */
    assert_in_range(u.entries, 0, u.entries_max + u.entries_max / 100 + 4);
    assert_in_range(u.used_bytes, a.live_bytes, u.size_bytes);
    return a;
}

static inline int set_up(void **state)
{
    struct err err;
    (void)state;
    now_us = 1000 * US_PER_S;
    rules = (struct cache_rules){0};
    if (!control_create(&control, &err))
        return -1;
    make(SIZE, ENTRIES);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    at_rest();
    cache_destroy(&cache);
    control_destroy(&control);
    return 0;
}

#define audited(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* ---- storing and looking ---- */

/* Fresh for an hour, born now, without a tag. */
static inline struct cache_entry answer(struct slice body)
{
    return (struct cache_entry){.body = body,
                                .head = slice_str(HEAD),
                                .created_us = now_us,
                                .fresh_until_us = now_us + 3600 * US_PER_S,
                                .born_seq = tags_now(control.tags),
                                .status = 200,
                                .etag = HEX_ETAG};
}

static inline struct cache_entry text(const char *body)
{
    return answer(slice_str(body));
}

static inline struct cache_entry tagged(struct cache_entry e, const char *tag)
{
    e.tag_slots[e.tag_count++] = tags_slot(slice_str(tag));
    return e;
}

static inline struct cache_entry for_ms(struct cache_entry e, int64_t ttl_ms)
{
    e.fresh_until_us = e.created_us + ttl_ms * US_PER_MS;
    return e;
}

static inline void invalidate(const char *tag)
{
    uint32_t slot = tags_slot(slice_str(tag));
    tags_raise(control.tags, &slot, 1);
}

static inline bool put_bytes(struct slice key, struct cache_entry e)
{
    struct cache_key k = cache_key(cache, key);
    return cache_put(cache, &k, &rules, &e, now_us);
}

static inline bool put(const char *key, struct cache_entry e)
{
    return put_bytes(slice_str(key), e);
}

static inline enum cache_state borrow_bytes(struct slice key, struct cache_entry *out)
{
    struct cache_key k = cache_key(cache, key);
    return cache_get(cache, &k, &rules, now_us, out);
}

static inline enum cache_state borrow(const char *key, struct cache_entry *out)
{
    return borrow_bytes(slice_str(key), out);
}

static inline enum cache_state look(const char *key)
{
    struct cache_entry e;
    enum cache_state state = borrow(key, &e);
    if (state != CACHE_MISS)
        cache_release(&e);
    return state;
}

/* A hit with this body; a hit with another fails the test. */
static inline bool has_bytes(struct slice key, struct slice body)
{
    struct cache_entry e;
    if (borrow_bytes(key, &e) == CACHE_MISS)
        return false;
    bool right = slice_eq(e.body, body) && e.status == 200;
    cache_release(&e);
    assert_true(right);
    return true;
}

static inline bool has(const char *key, const char *body)
{
    return has_bytes(slice_str(key), slice_str(body));
}

/* Raises the epoch and lets the keeper come when everything is idle and over: nothing may be left in use. */
static inline void let_go_of_everything(void)
{
    tags_raise_epoch(control.tags);
    now_us += 100 * 3600 * US_PER_S;
    cache_tick(cache, now_us);
    (void)cache_keep(cache, now_us);
    (void)cache_keep(cache, now_us); /* what waited for its readers */
}

/* ---- numbered entries ---- */

static inline uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9) ^ x >> 32;
}

/* No run of eight of its bytes is another number's. */
static inline struct slice body_of(uint64_t number, size_t len)
{
    static char room[BODY_BYTES_MAX];
    uint64_t x = mixed(number + 1) | 1;
    assert_true(len <= sizeof room);
    for (size_t i = 0; i < len; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(room + i, &x, MIN(sizeof x, len - i));
    }
    return slice_of(room, len);
}

static inline const char *name_of(int number)
{
    static char name[NAME_BYTES];
    snprintf(name, sizeof name, "key%d", number);
    return name;
}

static inline bool put_number(int number, size_t len)
{
    return put(name_of(number), answer(body_of((uint64_t)number, len)));
}

static inline bool has_number(int number, size_t len)
{
    return has_bytes(slice_str(name_of(number)), body_of((uint64_t)number, len));
}

static inline int count_of(int first, int count, size_t len)
{
    int had = 0;
    for (int i = first; i < first + count; i++)
        had += has_number(i, len);
    return had;
}

#endif
