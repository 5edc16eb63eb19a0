#include "tests/unit/shm/caches.h"

#include <dlfcn.h>
#include <string.h>
#include <zlib.h>

enum { SMALL_BYTES = 200, TEXT_BYTES = 8000 };

/* ---- zlib, counted ---- */

static int compressions;

int deflateInit2_(z_streamp z, int level, int method, int window_bits, int memory_level, int strategy,
                  const char *version, int stream_size)
{
    int (*real)(z_streamp, int, int, int, int, int, const char *, int);
    void *found = dlsym(RTLD_NEXT, "deflateInit2_");
    memcpy(&real, &found, sizeof real);
    compressions++;
    return real(z, level, method, window_bits, memory_level, strategy, version, stream_size);
}

static struct slice inflated(struct slice gzip)
{
    static char room[BODY_BYTES_MAX];
    z_stream z = {.next_out = (Bytef *)room, .avail_out = sizeof room, .avail_in = (uInt)gzip.len};
    z.next_in = (Bytef *)(uintptr_t)gzip.at; /* zlib's type lacks a const */
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int result = inflate(&z, Z_FINISH);
    size_t len = z.total_out;
    inflateEnd(&z);
    assert_int_equal(result, Z_STREAM_END);
    return slice_of(room, len);
}

/* ---- bodies ---- */

/* Rows of JSON: a tenth of its size when compressed. */
static struct slice rows_of(int number, size_t len)
{
    static char room[BODY_BYTES_MAX + 64];
    for (size_t at = 0; at < len;)
        at += (size_t)snprintf(room + at, 64, "{\"id\": %zu, \"name\": \"user %d\"}, ", at, number);
    return slice_of(room, len);
}

static bool put_rows(int number, size_t len)
{
    return put(name_of(number), answer(rows_of(number, len)));
}

static void want_gzip(int number)
{
    struct cache_entry e;
    assert_int_not_equal(borrow(name_of(number), &e), CACHE_MISS);
    if (e.gzip.len == 0)
        cache_want_gzip(cache, &e);
    cache_release(&e);
}

static bool keep(void)
{
    return cache_keep(cache, now_us);
}

static void keep_all(void)
{
    for (int times = 0; keep(); times++)
        assert_true(times < 100);
}

static void ask_and_keep(int number, int times)
{
    for (int i = 0; i < times; i++) {
        want_gzip(number);
        keep_all();
    }
}

/* Compressed, and right. */
static bool has_gzip(int number, size_t len)
{
    struct cache_entry e;
    assert_int_not_equal(borrow(name_of(number), &e), CACHE_MISS);
    bool has = e.gzip.len > 0, right = slice_eq(e.body, rows_of(number, len));
    if (has)
        right = right && e.gzip.len < len && slice_eq(inflated(e.gzip), e.body);
    cache_release(&e);
    assert_true(right);
    return has;
}

/* ---- gzip ---- */

static void a_body_has_a_gzip_once_a_consumer_would_have_taken_it(void **state)
{
    (void)state;
    assert_true(put_rows(1, TEXT_BYTES));
    assert_false(keep());
    assert_false(has_gzip(1, TEXT_BYTES));
    want_gzip(1);
    assert_true(keep());
    assert_false(keep());
    assert_true(has_gzip(1, TEXT_BYTES));
    assert_int_equal(usage().compressed, 1);
    assert_int_equal(usage().entries, 1);
}

static void a_gzip_changes_nothing_else_of_its_entry(void **state)
{
    (void)state;
    struct cache_entry before, after, in = tagged(answer(rows_of(1, TEXT_BYTES)), "users");
    in.cost_us = 77;
    assert_true(put(name_of(1), in));
    now_us += US_PER_S;
    want_gzip(1);
    assert_int_equal(borrow(name_of(1), &before), CACHE_FRESH);
    assert_true(keep());
    assert_int_equal(borrow(name_of(1), &after), CACHE_FRESH);
    assert_int_equal(before.gzip.len, 0); /* who borrowed it keeps what he has */
    assert_true(slice_eq(before.body, after.body) && slice_eq(before.head, after.head));
    assert_int_equal(before.created_us, after.created_us);
    assert_int_equal(before.fresh_until_us, after.fresh_until_us);
    assert_int_equal(before.born_seq, after.born_seq);
    assert_int_equal(before.cost_us, after.cost_us);
    assert_int_equal(before.status, after.status);
    assert_string_equal(before.etag, after.etag);
    cache_release(&before);
    cache_release(&after);
    invalidate("users");
    assert_int_equal(look(name_of(1)), CACHE_MISS);
}

static void a_gzip_prolongs_no_life(void **state)
{
    (void)state;
    rules = (struct cache_rules){.tti_us = 60 * US_PER_S, .stale_if_error_us = 5 * US_PER_S};
    assert_true(put_rows(1, TEXT_BYTES));
    assert_true(put(name_of(2), for_ms(answer(rows_of(2, TEXT_BYTES)), 1000)));
    now_us += 5999 * US_PER_MS;
    ask_and_keep(1, 1);
    ask_and_keep(2, 1);
    assert_int_equal(usage().compressed, 2);
    assert_int_equal(look(name_of(2)), CACHE_SPARE);
    now_us += US_PER_MS;
    assert_int_equal(look(name_of(2)), CACHE_MISS);
    now_us += 54 * US_PER_S;
    assert_int_equal(look(name_of(1)), CACHE_MISS);
}

static void more_bodies_than_can_be_asked_for_at_once_all_get_their_gzip(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    for (int i = 0; i < COUNT; i++)
        assert_true(put_rows(i, TEXT_BYTES));
    for (int round = 0; round < COUNT && usage().compressed < COUNT; round++) {
        for (int i = 0; i < COUNT; i++)
            want_gzip(i);
        keep_all();
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(has_gzip(i, TEXT_BYTES));
}

/* Or every hit of a body that is as it shall be would wake the keeper. */
static void a_wish_that_was_answered_is_none_any_more(void **state)
{
    (void)state;
    assert_true(put_number(1, TEXT_BYTES) && put_rows(2, TEXT_BYTES) && put_rows(3, 100));
    ask_and_keep(1, 1);
    ask_and_keep(2, 1);
    assert_true(has_gzip(2, TEXT_BYTES));
    for (int i = 1; i <= 3; i++)
        want_gzip(i);
    assert_false(cache_keep(cache, now_us));
}

static void a_body_that_does_not_shrink_is_tried_once(void **state)
{
    (void)state;
    assert_true(put_number(1, TEXT_BYTES));
    compressions = 0;
    ask_and_keep(1, 5);
    assert_int_equal(compressions, 1);
    assert_int_equal(usage().compressed, 0);
    assert_true(has_number(1, TEXT_BYTES));
}

static void bodies_of_a_segment_and_more_have_their_gzip_too(void **state)
{
    (void)state;
    const size_t lens[] = {15500, 17000, 50000};
    for (int i = 0; i < (int)ARRAY_LEN(lens); i++) {
        assert_true(put_rows(i, lens[i]));
        ask_and_keep(i, 2);
        assert_true(has_gzip(i, lens[i]));
    }
    assert_int_equal(usage().compressed, ARRAY_LEN(lens));
}

static void a_body_that_leaves_no_room_for_its_gzip_is_tried_once(void **state)
{
    (void)state;
    size_t len = cache_largest_bytes(cache) - strlen(name_of(1)) - 100;
    assert_true(put_rows(1, len));
    compressions = 0;
    ask_and_keep(1, 5);
    assert_false(has_gzip(1, len));
    assert_in_range(compressions, 0, 1);
}

static void short_bodies_absences_and_errors_are_never_compressed(void **state)
{
    (void)state;
    struct cache_entry error = answer(rows_of(2, TEXT_BYTES));
    error.negative = true;
    compressions = 0;
    assert_true(put_rows(1, 1000));
    assert_true(put(name_of(2), error));
    ask_and_keep(1, 2);
    ask_and_keep(2, 2);
    assert_int_equal(compressions, 0);
}

static void a_wish_for_what_is_gone_or_new_does_no_harm(void **state)
{
    (void)state;
    assert_true(put_rows(1, TEXT_BYTES));
    assert_true(put_rows(2, TEXT_BYTES));
    want_gzip(1);
    want_gzip(2);
    tags_raise_epoch(control.tags);
    assert_int_equal(look(name_of(1)), CACHE_MISS);
    assert_true(put_rows(2, 2 * TEXT_BYTES - 100));
    assert_true(keep());
    assert_int_equal(look(name_of(1)), CACHE_MISS);
    (void)has_gzip(2, 2 * TEXT_BYTES - 100);
}

static void compressing_a_full_cache_mixes_nothing(void **state)
{
    (void)state;
    enum { KEYS = 1500, ROUNDS = 6000 };
    uint64_t x = 3;
    for (int i = 0; i < ROUNDS; i++, now_us++) {
        x = mixed(x);
        int number = (int)(x % KEYS);
        size_t len = 1500 + mixed((uint64_t)number) % 6000;
        if (look(name_of(number)) == CACHE_MISS)
            assert_true(put_rows(number, len));
        want_gzip(number);
        (void)has_gzip(number, len);
        if (i % 16 == 0)
            keep_all();
    }
    assert_true(usage().compressed > 100);
    assert_true(usage().evicted > 100);
}

/* ---- expiry ---- */

/* What is open is sealed when nothing was put into it for long; then what is over can go. */
static void keep_after(int64_t ms)
{
    now_us += ms * US_PER_MS;
    cache_tick(cache, now_us);
    (void)keep();
}

static void put_for_ms(int first, int count, int64_t ttl_ms)
{
    for (int i = first; i < first + count; i++)
        assert_true(put(name_of(i), for_ms(answer(body_of((uint64_t)i, SMALL_BYTES)), ttl_ms)));
}

static void segments_of_expired_entries_are_free_again(void **state)
{
    (void)state;
    enum { COUNT = 500, TTL_MS = 120000 };
    put_for_ms(0, COUNT, TTL_MS);
    keep_after(TTL_MS - 1);
    assert_int_equal(count_of(0, COUNT, SMALL_BYTES), COUNT);
    assert_true(usage().segments_free < usage().segments);
    keep_after(1);
    assert_int_equal(usage().segments_free, usage().segments);
    assert_int_equal(usage().entries, 0);
}

static void what_expires_is_not_evicted(void **state)
{
    (void)state;
    enum { COUNT = 500, TTL_MS = 120000 };
    put_for_ms(0, COUNT, TTL_MS);
    keep_after(TTL_MS);
    assert_int_equal(usage().expired, COUNT);
    assert_int_equal(usage().evicted, 0);
}

static void a_gzip_shortens_no_life(void **state)
{
    (void)state;
    rules.stale_if_error_us = 300 * US_PER_S;
    assert_true(put(name_of(1), for_ms(answer(rows_of(1, TEXT_BYTES)), 1000)));
    ask_and_keep(1, 1);
    keep_after(300999);
    assert_true(has_gzip(1, TEXT_BYTES));
    keep_after(1);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void stale_entries_are_kept_while_they_are_of_use(void **state)
{
    (void)state;
    enum { COUNT = 100, TTL_MS = 60000 };
    rules.stale_if_error_us = 300 * US_PER_S;
    put_for_ms(0, COUNT, TTL_MS);
    keep_after(TTL_MS + 299999);
    assert_int_equal(count_of(0, COUNT, SMALL_BYTES), COUNT);
    keep_after(1);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void absences_are_not_kept_for_being_stale(void **state)
{
    (void)state;
    enum { TTL_MS = 120000 };
    rules.stale_us = 300 * US_PER_S;
    struct cache_entry e = for_ms(text(""), TTL_MS);
    e.negative = true;
    assert_true(put("absence", e));
    keep_after(TTL_MS);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void one_entry_that_lives_keeps_its_segment(void **state)
{
    (void)state;
    put_for_ms(0, 3, 60000);
    put_for_ms(3, 1, 180000);
    put_for_ms(4, 1, 60000);
    keep_after(120000);
    assert_int_equal(usage().segments_free, usage().segments - 1);
    assert_int_equal(count_of(3, 1, SMALL_BYTES), 1);
    keep_after(60000);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void large_values_expire_with_all_their_segments(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(put(name_of(i), for_ms(answer(body_of((uint64_t)i, 60000)), 1000)));
    assert_true(sound().part > 10);
    keep_after(1000);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void what_expires_under_a_reader_is_free_when_he_has_gone(void **state)
{
    (void)state;
    struct cache_entry e;
    put_for_ms(0, 1, 60000);
    assert_int_equal(borrow(name_of(0), &e), CACHE_FRESH);
    keep_after(60000);
    assert_int_equal(usage().segments_limbo, 1);
    assert_true(slice_eq(e.body, body_of(0, SMALL_BYTES)));
    cache_release(&e);
    keep_after(1);
    assert_int_equal(usage().segments_limbo, 0);
    assert_int_equal(usage().segments_free, usage().segments);
}

/* ---- open segments and free ones ---- */

static void an_open_segment_is_sealed_when_it_was_idle_for_a_minute(void **state)
{
    (void)state;
    assert_true(put_number(0, SMALL_BYTES));
    now_us += 59 * US_PER_S;
    cache_tick(cache, now_us);
    assert_int_equal(sound().open, 1);
    assert_true(put_number(1, SMALL_BYTES));
    now_us += 59 * US_PER_S;
    cache_tick(cache, now_us);
    assert_int_equal(sound().open, 1);
    now_us += US_PER_S;
    cache_tick(cache, now_us);
    assert_int_equal(sound().open, 0);
    assert_int_equal(sound().sealed, 1);
    assert_int_equal(count_of(0, 2, SMALL_BYTES), 2);
}

static void the_keeper_keeps_segments_free_ahead_of_the_others(void **state)
{
    (void)state;
    make(SIZE, 100000);
    for (int i = 0; i < 1000; i++)
        assert_true(put_number(i, 8000));
    keep();
    assert_in_range(usage().segments_free, usage().segments / 64, usage().segments / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        audited(a_body_has_a_gzip_once_a_consumer_would_have_taken_it),
        audited(a_gzip_changes_nothing_else_of_its_entry),
        audited(a_gzip_prolongs_no_life),
        audited(more_bodies_than_can_be_asked_for_at_once_all_get_their_gzip),
        audited(a_wish_that_was_answered_is_none_any_more),
        audited(a_body_that_does_not_shrink_is_tried_once),
        audited(bodies_of_a_segment_and_more_have_their_gzip_too),
        audited(a_body_that_leaves_no_room_for_its_gzip_is_tried_once),
        audited(short_bodies_absences_and_errors_are_never_compressed),
        audited(a_wish_for_what_is_gone_or_new_does_no_harm),
        audited(compressing_a_full_cache_mixes_nothing),
        audited(segments_of_expired_entries_are_free_again),
        audited(what_expires_is_not_evicted),
        audited(a_gzip_shortens_no_life),
        audited(stale_entries_are_kept_while_they_are_of_use),
        audited(absences_are_not_kept_for_being_stale),
        audited(one_entry_that_lives_keeps_its_segment),
        audited(large_values_expire_with_all_their_segments),
        audited(what_expires_under_a_reader_is_free_when_he_has_gone),
        audited(an_open_segment_is_sealed_when_it_was_idle_for_a_minute),
        audited(the_keeper_keeps_segments_free_ahead_of_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
