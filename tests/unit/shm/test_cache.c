#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/cache.h"

enum { SIZE = 4 << 20, FOREVER = 1000000000 };

static struct tags *tags;

static struct cache *make(int64_t entries)
{
    struct err err;
    tags = tags_create(&err);
    struct cache *c = cache_create(SIZE, entries, tags, &err);
    assert_non_null(c);
    return c;
}

static bool put(struct cache *c, const char *key, struct slice body, int64_t ttl_us, int64_t tti_us, uint64_t born,
                int64_t now_us)
{
    struct cache_entry e = {.body = body,
                            .created_us = now_us,
                            .fresh_until_us = now_us + ttl_us,
                            .tti_us = tti_us,
                            .born_seq = born,
                            .status = 200,
                            .etag = "\"tag\"",
                            .content_type = "application/json"};
    e.tag_slots[0] = tags_slot(slice_str("users"));
    e.tag_count = 1;
    return cache_put(c, slice_str(key), &e, now_us);
}

static bool has(struct cache *c, const char *key, const char *body, int64_t now_us)
{
    struct cache_entry e;
    if (!cache_get(c, slice_str(key), now_us, &e))
        return false;
    bool right = slice_is(e.body, body) && e.status == 200 && strcmp(e.etag, "\"tag\"") == 0;
    cache_release(&e);
    assert_true(right);
    return true;
}

static void what_was_put_is_had_and_a_newer_value_replaces_it(void **state)
{
    (void)state;
    struct cache *c = make(1000);
    assert_false(has(c, "a", "", 0));
    assert_true(put(c, "a", slice_str("one"), FOREVER, 0, 5, 0));
    assert_true(has(c, "a", "one", 1));
    assert_true(put(c, "a", slice_str("two"), FOREVER, 0, 6, 1));
    assert_true(has(c, "a", "two", 2));
    assert_false(put(c, "a", slice_str("late"), FOREVER, 0, 5, 2));
    assert_true(has(c, "a", "two", 3));
    cache_destroy(&c);
}

static void ttl_and_tti_end_an_entry(void **state)
{
    (void)state;
    struct cache *c = make(1000);
    assert_true(put(c, "ttl", slice_str("x"), 100, 0, 0, 0));
    assert_true(has(c, "ttl", "x", 99));
    assert_false(has(c, "ttl", "x", 100));
    assert_true(put(c, "tti", slice_str("x"), 100, 10, 0, 0));
    for (int64_t now_us = 9; now_us < 100; now_us += 9)
        assert_true(has(c, "tti", "x", now_us));
    assert_true(put(c, "idle", slice_str("x"), 100, 10, 0, 0));
    assert_false(has(c, "idle", "x", 10));
    cache_destroy(&c);
}

static void an_invalidated_entry_is_gone_and_so_is_one_fetched_before(void **state)
{
    (void)state;
    struct cache *c = make(1000);
    uint32_t users = tags_slot(slice_str("users"));
    uint64_t born = tags_now(tags);
    assert_true(put(c, "a", slice_str("old"), FOREVER, 0, born, 0));
    tags_raise(tags, &users, 1);
    assert_false(has(c, "a", "old", 1));
    put(c, "a", slice_str("old"), FOREVER, 0, born, 1);
    assert_false(has(c, "a", "old", 2));
    put(c, "a", slice_str("new"), FOREVER, 0, tags_now(tags), 2);
    assert_true(has(c, "a", "new", 3));
    cache_destroy(&c);
}

static void capacity_in_entries_holds(void **state)
{
    (void)state;
    struct cache *c = make(100);
    struct cache_usage usage;
    char key[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(put(c, key, slice_str(key), FOREVER, 0, 0, i));
        assert_true(has(c, key, key, i));
    }
    cache_usage(c, &usage);
    assert_in_range(usage.entries, 90, usage.entries_max);
    assert_in_range(usage.entries_max, 100, 104);
    assert_int_equal(usage.evicted + usage.entries, 5000);
    cache_destroy(&c);
}

/* A body that tells whether a byte of it is another key's. */
static struct slice body_of(int key, char *room)
{
    size_t len = (size_t)(key * 7919 % 9000);
    for (size_t i = 0; i < len; i++)
        room[i] = (char)('a' + (i * 31 + (size_t)key) % 26);
    return slice_of(room, len);
}

static void put_or_check(struct cache *c, int key, int64_t now_us)
{
    char name[16], room[9000];
    struct cache_entry e;
    struct slice body = body_of(key, room);
    snprintf(name, sizeof name, "key%d", key);
    if (!cache_get(c, slice_str(name), now_us, &e)) {
        put(c, name, body, FOREVER, 0, 0, now_us);
        return;
    }
    if (!slice_eq(e.body, body))
        _exit(9);
    cache_release(&e);
}

static void the_ring_turns_without_mixing_bytes(void **state)
{
    (void)state;
    struct cache *c = make(100000);
    struct cache_usage usage;
    for (int i = 0; i < 60000; i++)
        put_or_check(c, rand() % 3000, i);
    cache_usage(c, &usage);
    assert_in_range(usage.used_bytes, SIZE / 2, SIZE);
    assert_true(usage.evicted > 1000);
    cache_destroy(&c);
}

static void the_largest_object_fits_and_a_larger_one_does_not(void **state)
{
    (void)state;
    struct cache *c = make(100);
    size_t largest = cache_largest_bytes(c);
    char *bytes = calloc(1, largest);
    assert_true(largest > SIZE / 64);
    for (int i = 0; i < 20; i++) {
        char key[3] = {'k', (char)('a' + i), 0};
        assert_true(put(c, key, slice_of(bytes, largest - 2), FOREVER, 0, 0, 0));
        assert_false(put(c, key, slice_of(bytes, largest - 1), FOREVER, 0, 0, 0));
    }
    free(bytes);
    cache_destroy(&c);
}

static void a_process_killed_anywhere_wedges_nobody_and_mixes_nothing(void **state)
{
    (void)state;
    struct cache *c = make(100000);
    struct cache_usage usage;
    for (int round = 0; round < 300; round++) {
        pid_t child = fork();
        if (child == 0)
            for (srand((unsigned)round);;)
                put_or_check(c, rand() % 2000, round);
        struct timespec pause = {0, (long)(rand() % 3000) * 1000};
        nanosleep(&pause, NULL);
        int status;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        for (int key = 0; key < 100; key++)
            put_or_check(c, key, round);
    }
    cache_usage(c, &usage);
    assert_true(usage.recovered > 0);
    cache_destroy(&c);
}

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void a_stopped_holder_makes_misses_and_no_wait(void **state)
{
    (void)state;
    struct cache *c = make(1000);
    struct slice large = slice_of(calloc(1, cache_largest_bytes(c)), cache_largest_bytes(c) - 1);
    int missed = 0;
    /* The child is nearly always inside, copying under its lock. */
    for (int round = 0; round < 200 && missed == 0; round++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                put(c, "k", large, FOREVER, 0, 0, 0);
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
        kill(child, SIGSTOP);
        waitpid(child, NULL, WUNTRACED);
        int64_t start_ns = mono_ns();
        missed += !put(c, "k", slice_str(""), FOREVER, 0, 0, 0);
        assert_true(mono_ns() - start_ns < 500000000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    assert_true(missed > 0);
    free((void *)(uintptr_t)large.at);
    cache_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_had_and_a_newer_value_replaces_it),
        cmocka_unit_test(ttl_and_tti_end_an_entry),
        cmocka_unit_test(an_invalidated_entry_is_gone_and_so_is_one_fetched_before),
        cmocka_unit_test(capacity_in_entries_holds),
        cmocka_unit_test(the_ring_turns_without_mixing_bytes),
        cmocka_unit_test(the_largest_object_fits_and_a_larger_one_does_not),
        cmocka_unit_test(a_process_killed_anywhere_wedges_nobody_and_mixes_nothing),
        cmocka_unit_test(a_stopped_holder_makes_misses_and_no_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
