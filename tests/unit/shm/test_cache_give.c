#include "tests/unit/shm/caches.h"

#include <string.h>

enum { LEN = 2000, COUNT = ENTRIES };

static struct cache_given given(void)
{
    struct cache_given g;
    cache_given(cache, &g);
    return g;
}

/* The keeper, for as long as it takes. */
static void keep(void)
{
    for (int i = 0; i < 100; i++)
        (void)cache_keep(cache, now_us);
}

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%*d %*d %lld", &pages), 1); /* of files and of shared memory */
    fclose(statm);
    return pages * 4096;
}

static void fill(int64_t size_bytes)
{
    make(size_bytes, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_true(put_number(i, (size_t)(size_bytes / COUNT * 9 / 10)));
}

static int found(int64_t size_bytes)
{
    return count_of(0, COUNT, (size_t)(size_bytes / COUNT * 9 / 10));
}

static void it_is_the_machines_again(void **state)
{
    (void)state;
    enum { BYTES = 32 * MB, HALF = 16 * MB };
    fill(BYTES);
    int64_t before = resident_bytes();
    cache_give(cache, HALF);
    assert_int_equal(given().bytes, 0);
    keep();
    assert_in_range(given().bytes, HALF, HALF + given().log_bytes / 100);
    assert_in_range(before - resident_bytes(), HALF * 9 / 10, HALF + MB);
    assert_int_equal(at_rest().away * (uint64_t)(given().log_bytes / (int64_t)usage().segments), given().bytes);
}

static void what_stays_is_right_and_what_comes_finds_room(void **state)
{
    (void)state;
    enum { BYTES = 8 * MB };
    fill(BYTES);
    int all = found(BYTES);
    cache_give(cache, BYTES / 2);
    keep();
    assert_in_range(found(BYTES), all / 4, all * 6 / 10);
    for (int i = COUNT; i < 4 * COUNT; i++) {
        assert_true(put_number(i, LEN));
        assert_true(has_number(i, LEN));
    }
    keep();
    assert_true(given().bytes >= BYTES / 2);
}

static void what_was_asked_for_often_stays(void **state)
{
    (void)state;
    enum { LIKED = 100, BYTES = 8 * MB };
    fill(BYTES);
    for (int times = 0; times < 3; times++)
        count_of(0, LIKED, BYTES / COUNT * 9 / 10);
    cache_give(cache, BYTES / 2);
    keep();
    assert_in_range(count_of(0, LIKED, BYTES / COUNT * 9 / 10), LIKED * 9 / 10, LIKED);
}

static void an_eighth_stays_however_much_is_asked_for(void **state)
{
    (void)state;
    cache_give(cache, INT64_C(1) << 40);
    assert_int_equal(given().wanted_bytes, given().most_bytes);
    keep();
    assert_int_equal(given().bytes, given().most_bytes);
    assert_true(given().most_bytes < given().log_bytes);
    for (int i = 0; i < 200; i++)
        assert_true(put_number(i, 200));
    assert_true(count_of(0, 200, 200) > 100);
}

static void it_comes_again(void **state)
{
    (void)state;
    enum { BYTES = 8 * MB };
    fill(BYTES);
    int all = found(BYTES);
    cache_give(cache, BYTES / 2);
    keep();
    cache_give(cache, BYTES / 4);
    keep();
    assert_in_range(given().bytes, BYTES / 4, BYTES / 4 + given().log_bytes / 100);
    cache_give(cache, 0);
    keep();
    assert_int_equal(given().bytes, 0);
    for (int i = 0; i < COUNT; i++)
        if (!has_number(i, BYTES / COUNT * 9 / 10))
            assert_true(put_number(i, BYTES / COUNT * 9 / 10));
    assert_in_range(found(BYTES), all * 9 / 10, COUNT);
}

static void who_reads_keeps_what_is_read(void **state)
{
    (void)state;
    enum { BYTES = 8 * MB };
    struct cache_entry e;
    fill(BYTES);
    assert_int_equal(borrow(name_of(COUNT / 2), &e), CACHE_FRESH);
    cache_give(cache, BYTES);
    keep();
    assert_int_equal(sound().limbo, 1);
    assert_true(slice_eq(e.body, body_of(COUNT / 2, BYTES / COUNT * 9 / 10)));
    cache_release(&e);
    keep();
    assert_int_equal(given().bytes, given().most_bytes);
}

static void large_ones_find_room_side_by_side(void **state)
{
    (void)state;
    enum { BYTES = 32 * MB, LARGE = 400 << 10 };
    fill(BYTES);
    cache_give(cache, BYTES / 2);
    keep();
    static char body[LARGE];
    for (int i = 0; i < 40; i++) {
        memset(body, 'a' + i % 26, sizeof body);
        assert_true(put(name_of(i), answer(slice_of(body, sizeof body))));
        assert_true(has_bytes(slice_str(name_of(i)), slice_of(body, sizeof body)));
        (void)cache_keep(cache, now_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        audited(it_is_the_machines_again),
        audited(what_stays_is_right_and_what_comes_finds_room),
        audited(what_was_asked_for_often_stays),
        audited(an_eighth_stays_however_much_is_asked_for),
        audited(it_comes_again),
        audited(who_reads_keeps_what_is_read),
        audited(large_ones_find_room_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
