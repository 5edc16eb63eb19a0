#include "tests/unit/shm/caches.h"

#include <string.h>

enum { SMALL_BYTES = 200, MIXED_KEYS = 3000 };

static bool put_absence(int number, size_t len)
{
    struct cache_entry e = answer(body_of((uint64_t)number, len));
    e.negative = true;
    return put(name_of(number), e);
}

static bool found_or_put(int number, size_t len)
{
    return has_number(number, len) || !put_number(number, len);
}

static void ask_for(int first, int count, size_t len, int times)
{
    for (int k = 0; k < times; k++)
        for (int i = first; i < first + count; i++)
            assert_true(has_number(i, len));
}

static void put_numbers(int first, int count, size_t len)
{
    for (int i = first; i < first + count; i++)
        assert_true(put_number(i, len));
}

/* Once each, never asked for again. */
static void pass_by(int first, int count)
{
    put_numbers(first, count, SMALL_BYTES);
}

/* ---- capacity ---- */

static void capacity_in_entries_holds(void **state)
{
    (void)state;
    make(SIZE, 100);
    assert_int_equal(usage().entries_max, 100);
    for (int i = 0; i < 5000; i++) {
        assert_true(put_number(i, SMALL_BYTES));
        assert_true(has_number(i, SMALL_BYTES));
        assert_in_range(usage().entries, 1, 100);
    }
    assert_in_range(usage().entries, 90, 100);
    assert_int_equal(usage().evicted + usage().entries, 5000);
}

/* From nothing to half a segment, the same for a number each time. */
static size_t mixed_len(int number)
{
    return mixed((uint64_t)number) % 9000;
}

static void capacity_in_bytes_holds_for_values_of_all_sizes(void **state)
{
    (void)state;
    make(SIZE, 100000);
    uint64_t x = 1;
    for (int i = 0; i < 40000; i++, now_us++) {
        x = mixed(x);
        int number = (int)(x % MIXED_KEYS);
        if (!has_number(number, mixed_len(number)))
            assert_true(put_number(number, mixed_len(number)));
        if (i % 1000 == 0)
            at_rest();
    }
    assert_true(usage().evicted > 1000);
    assert_in_range(usage().used_bytes, SIZE * 8 / 10, SIZE);
    assert_in_range(at_rest().live_bytes, SIZE * 6 / 10, SIZE);
}

static void a_size_includes_the_tables(void **state)
{
    (void)state;
    const int64_t sizes[] = {MB, 3 * MB + 1, 17 * MB, 64 * MB}, entries[] = {1, 10, 5000, INT64_C(1000000000)};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t k = 0; k < ARRAY_LEN(entries); k++) {
            make(sizes[i], entries[k]);
            assert_in_range(usage().size_bytes, sizes[i] * 9 / 10, sizes[i]);
            assert_true(put_number(1, SMALL_BYTES));
            assert_true(has_number(1, SMALL_BYTES));
            at_rest();
        }
}

/* Of what is neither key nor value: in the items, and in the tables that grow with the entries. */
static void an_entry_costs_at_most_110_bytes_besides_its_key_and_body(void **state)
{
    (void)state;
    enum { COUNT = 100000, KEY_BYTES = 40, BODY_BYTES = 200, MOST_BYTES = 110 };
    char key[KEY_BYTES + 1];
    make(64 * MB, 1);
    uint64_t fixed_bytes = usage().used_bytes;
    make(64 * MB, COUNT);
    uint64_t tables_bytes = usage().used_bytes - fixed_bytes;
    struct cache_entry e = tagged(answer(body_of(1, BODY_BYTES)), "users");
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "%0*d", KEY_BYTES, i);
        assert_true(put(key, e));
    }
    struct cache_audit a = at_rest();
    assert_in_range(a.words, COUNT * 98 / 100, COUNT);
    double bytes = (double)(a.overhead_bytes + tables_bytes) / (double)a.words;
    print_message("             %.1f bytes an entry, %.1f of them in tables\n", bytes,
                  (double)tables_bytes / (double)a.words);
    assert_true(bytes <= MOST_BYTES);
}

/* ---- what stays ---- */

static void what_was_asked_for_twice_outlives_what_is_never_asked_for(void **state)
{
    (void)state;
    enum { LIKED = 300 };
    put_numbers(0, LIKED, SMALL_BYTES);
    ask_for(0, LIKED, SMALL_BYTES, 2);
    pass_by(LIKED, 5 * ENTRIES);
    assert_in_range(count_of(0, LIKED, SMALL_BYTES), LIKED * 8 / 10, LIKED);
    assert_true(usage().promoted >= LIKED * 8 / 10);
}

static void what_is_asked_for_now_and_then_outlives_any_number_of_others(void **state)
{
    (void)state;
    enum { LIKED = 300 };
    put_numbers(0, LIKED, SMALL_BYTES);
    ask_for(0, LIKED, SMALL_BYTES, 2);
    for (int i = 1; i <= 10; i++) {
        pass_by(2 * i * ENTRIES, 2 * ENTRIES);
        assert_in_range(count_of(0, LIKED, SMALL_BYTES), LIKED * 9 / 10, LIKED);
    }
}

static void what_is_missed_soon_after_it_was_dropped_stays_the_second_time(void **state)
{
    (void)state;
    enum { MISSED = 50 };
    pass_by(MISSED, 2 * ENTRIES);
    put_numbers(0, MISSED, SMALL_BYTES);
    pass_by(3 * ENTRIES, ENTRIES / 2);
    assert_in_range(count_of(0, MISSED, SMALL_BYTES), 0, MISSED / 4);
    put_numbers(0, MISSED, SMALL_BYTES);
    pass_by(4 * ENTRIES, ENTRIES / 2);
    assert_in_range(count_of(0, MISSED, SMALL_BYTES), MISSED * 3 / 4, MISSED);
}

/* LRU and plain S3-FIFO have none. */
static void a_loop_larger_than_the_cache_keeps_some_hits(void **state)
{
    (void)state;
    enum { LOOP = 600, ROUNDS = 60, WARM = 10 };
    int hits = 0;
    make(SIZE, 512);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < LOOP; i++, now_us++)
            hits += found_or_put(i, SMALL_BYTES) && round >= WARM;
    print_message("             %d %% hits\n", hits * 100 / (LOOP * (ROUNDS - WARM)));
    assert_true(hits > LOOP * (ROUNDS - WARM) / 5);
}

static void what_is_new_gets_in_although_the_cache_is_full_of_what_was_liked(void **state)
{
    (void)state;
    enum { NEW = 100 };
    put_numbers(0, ENTRIES * 3 / 4, SMALL_BYTES);
    ask_for(0, ENTRIES * 3 / 4, SMALL_BYTES, 3);
    pass_by(ENTRIES, 2 * ENTRIES);
    put_numbers(4 * ENTRIES, NEW, SMALL_BYTES);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < NEW; k++)
            (void)found_or_put(4 * ENTRIES + k, SMALL_BYTES);
        pass_by((5 + i) * ENTRIES, ENTRIES / 10);
    }
    assert_in_range(count_of(4 * ENTRIES, NEW, SMALL_BYTES), NEW * 9 / 10, NEW);
}

static void two_hits_are_enough_however_much_the_others_were_liked(void **state)
{
    (void)state;
    enum { NEW = 50 };
    put_numbers(0, ENTRIES * 3 / 4, SMALL_BYTES);
    ask_for(0, ENTRIES * 3 / 4, SMALL_BYTES, 10);
    pass_by(ENTRIES, ENTRIES / 2);
    put_numbers(2 * ENTRIES, NEW, SMALL_BYTES);
    ask_for(2 * ENTRIES, NEW, SMALL_BYTES, 2);
    pass_by(3 * ENTRIES, ENTRIES / 2);
    assert_in_range(count_of(2 * ENTRIES, NEW, SMALL_BYTES), NEW * 9 / 10, NEW);
}

/* ---- absences ---- */

/* All but what an absence drove out of a full bucket of the index. */
static void nearly_all_are_there(int count, size_t len)
{
    assert_in_range(count_of(0, count, len), count * 99 / 100, count);
}

static void absences_do_not_push_out_what_there_is(void **state)
{
    (void)state;
    enum { ORDINARY = ENTRIES * 9 / 10 };
    put_numbers(0, ORDINARY, SMALL_BYTES);
    for (int i = 0; i < 20 * ENTRIES; i++)
        assert_true(put_absence(ENTRIES + i, SMALL_BYTES));
    nearly_all_are_there(ORDINARY, SMALL_BYTES);
    assert_in_range(usage().entries, ORDINARY, ORDINARY + ENTRIES / 10);
    assert_true(has_number(ENTRIES + 20 * ENTRIES - 1, SMALL_BYTES));
}

static void large_errors_do_not_push_out_what_there_is(void **state)
{
    (void)state;
    enum { LARGE_BYTES = 10000, ORDINARY = 180 };
    put_numbers(0, ORDINARY, LARGE_BYTES);
    for (int i = 0; i < 2000; i++)
        assert_true(put_absence(ENTRIES + i, LARGE_BYTES));
    nearly_all_are_there(ORDINARY, LARGE_BYTES);
}

static void a_full_cache_makes_room_for_some_absences_and_no_more(void **state)
{
    (void)state;
    pass_by(0, 3 * ENTRIES);
    int before = count_of(0, 3 * ENTRIES, SMALL_BYTES);
    for (int i = 0; i < 5 * ENTRIES; i++)
        assert_true(put_absence(4 * ENTRIES + i, SMALL_BYTES));
    assert_in_range(count_of(0, 3 * ENTRIES, SMALL_BYTES), before * 85 / 100, before);
    pass_by(10 * ENTRIES, 3 * ENTRIES);
    assert_in_range(count_of(4 * ENTRIES, 5 * ENTRIES, SMALL_BYTES), 0, ENTRIES / 10);
}

/* ---- values larger than a segment ---- */

static size_t large_len(int number)
{
    return 17000 + mixed((uint64_t)number) % 48000;
}

static void large_values_have_their_bytes_and_give_back_their_segments(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    for (int i = 0; i < COUNT; i++)
        assert_true(put_number(i, large_len(i)));
    for (int i = 0; i < COUNT; i++)
        assert_true(has_number(i, large_len(i)));
    assert_true(at_rest().part >= COUNT);
    let_go_of_everything();
    assert_int_equal(at_rest().part, 0);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void thousands_of_large_values_come_and_go_among_small_ones(void **state)
{
    (void)state;
    enum { KEYS = 600, OPERATIONS = 12000 };
    int stored = 0, tried = 0;
    uint64_t x = 7;
    for (int i = 0; i < OPERATIONS; i++, now_us++) {
        x = mixed(x);
        int number = (int)(x % KEYS);
        size_t len = number % 3 == 0 ? large_len(number) : mixed_len(number);
        if (has_number(number, len))
            continue;
        tried++;
        stored += put_number(number, len);
        if (i % 500 == 0)
            at_rest();
    }
    assert_true(tried > 3000);
    assert_in_range(stored, tried * 99 / 100, tried);
    let_go_of_everything();
    assert_int_equal(usage().segments_free, usage().segments);
}

static const char *where(int number)
{
    struct cache_entry e;
    if (borrow(name_of(number), &e) == CACHE_MISS)
        return NULL;
    const char *at = e.body.at;
    cache_release(&e);
    return at;
}

static void a_large_value_that_is_liked_stays_where_it_is(void **state)
{
    (void)state;
    assert_true(put_number(0, 60000));
    ask_for(0, 1, 60000, 3);
    const char *at = where(0);
    for (int i = 1; i <= 20; i++) {
        pass_by(i * ENTRIES, ENTRIES / 2);
        assert_ptr_equal(where(0), at);
    }
    assert_true(has_number(0, 60000));
    assert_true(usage().promoted > 0);
}

static void the_largest_value_fits_and_a_larger_one_is_refused(void **state)
{
    (void)state;
    size_t body = cache_largest_bytes(cache) - strlen(name_of(1));
    assert_true(cache_largest_bytes(cache) >= SIZE / 64);
    for (int i = 1; i < 9; i++)
        assert_true(put_number(i, body));
    put_numbers(10, 100, SMALL_BYTES);
    assert_false(put_number(1, body + 1));
    struct cache_entry e = answer(body_of(2, body));
    e.gzip = slice_str("x");
    assert_false(put(name_of(2), e));
    assert_int_equal(count_of(1, 8, body), 8);
    assert_int_equal(count_of(10, 100, SMALL_BYTES), 100);
    assert_int_equal(usage().evicted, 0);
}

static void a_large_value_is_replaced_by_a_small_one_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(put_number(1, i % 2 == 0 ? 50000 : SMALL_BYTES));
    assert_true(has_number(1, SMALL_BYTES));
    assert_int_equal(usage().entries, 1);
}

/* ---- readers ---- */

static void a_borrowed_value_stays_whatever_becomes_of_its_entry(void **state)
{
    (void)state;
    struct cache_entry small, large;
    put_numbers(0, 1, SMALL_BYTES);
    put_numbers(1, 1, 60000);
    assert_int_equal(borrow(name_of(0), &small), CACHE_FRESH);
    assert_int_equal(borrow(name_of(1), &large), CACHE_FRESH);
    tags_raise_epoch(control.tags);
    pass_by(2, 5 * ENTRIES);
    assert_false(has_number(0, SMALL_BYTES));
    assert_true(slice_eq(small.body, body_of(0, SMALL_BYTES)));
    assert_true(slice_eq(large.body, body_of(1, 60000)));
    assert_int_equal(sound().pins, 2);
    cache_release(&small);
    cache_release(&large);
}

static void a_reader_is_told_when_memory_waits_for_it(void **state)
{
    (void)state;
    struct cache_entry e;
    put_numbers(0, 1, SMALL_BYTES);
    assert_int_equal(borrow(name_of(0), &e), CACHE_FRESH);
    assert_false(cache_is_waited_for(cache, &e));
    tags_raise_epoch(control.tags);
    pass_by(1, 3 * ENTRIES);
    assert_true(cache_is_waited_for(cache, &e));
    assert_int_equal(sound().limbo, 1);
    assert_int_equal(usage().segments_limbo, 1);
    cache_release(&e);
    pass_by(4 * ENTRIES, 100);
    assert_int_equal(at_rest().limbo, 0);
}

/* Until it is released: then everything is as before. */
static void readers_of_everything_make_puts_fail_and_nothing_else(void **state)
{
    (void)state;
    enum { PAGES = 400, PAGE_BYTES = 12000 };
    static struct cache_entry held[PAGES];
    int count = 0;
    for (; count < PAGES && put_number(count, PAGE_BYTES); count++)
        assert_int_equal(borrow(name_of(count), &held[count]), CACHE_FRESH);
    assert_in_range(count, 200, PAGES - 1);
    assert_false(put_number(count, 60000));
    sound();
    for (int i = 0; i < count; i++) {
        assert_true(slice_eq(held[i].body, body_of((uint64_t)i, PAGE_BYTES)));
        cache_release(&held[i]);
    }
    put_numbers(count, 2 * PAGES, PAGE_BYTES);
    assert_true(put_number(count, 60000));
    assert_int_equal(at_rest().limbo, 0);
}

/* A process that holds more than 16 bits count. */
static void no_number_of_readers_frees_what_they_read(void **state)
{
    (void)state;
    enum { READERS = UINT16_MAX + 1 };
    struct cache_entry *held = xcalloc(READERS, sizeof *held);
    int count = 0;
    put_numbers(0, 1, SMALL_BYTES);
    while (count < READERS && borrow(name_of(0), &held[count]) != CACHE_MISS)
        count++;
    tags_raise_epoch(control.tags);
    pass_by(1, 5 * ENTRIES);
    bool kept = slice_eq(held[0].body, body_of(0, SMALL_BYTES));
    for (int i = 0; i < count; i++)
        cache_release(&held[i]);
    free(held);
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        audited(capacity_in_entries_holds),
        audited(capacity_in_bytes_holds_for_values_of_all_sizes),
        audited(a_size_includes_the_tables),
        audited(an_entry_costs_at_most_110_bytes_besides_its_key_and_body),
        audited(what_was_asked_for_twice_outlives_what_is_never_asked_for),
        audited(what_is_asked_for_now_and_then_outlives_any_number_of_others),
        audited(what_is_missed_soon_after_it_was_dropped_stays_the_second_time),
        audited(a_loop_larger_than_the_cache_keeps_some_hits),
        audited(what_is_new_gets_in_although_the_cache_is_full_of_what_was_liked),
        audited(two_hits_are_enough_however_much_the_others_were_liked),
        audited(absences_do_not_push_out_what_there_is),
        audited(large_errors_do_not_push_out_what_there_is),
        audited(a_full_cache_makes_room_for_some_absences_and_no_more),
        audited(large_values_have_their_bytes_and_give_back_their_segments),
        audited(thousands_of_large_values_come_and_go_among_small_ones),
        audited(a_large_value_that_is_liked_stays_where_it_is),
        audited(the_largest_value_fits_and_a_larger_one_is_refused),
        audited(a_large_value_is_replaced_by_a_small_one_and_back),
        audited(a_borrowed_value_stays_whatever_becomes_of_its_entry),
        audited(a_reader_is_told_when_memory_waits_for_it),
        audited(readers_of_everything_make_puts_fail_and_nothing_else),
        audited(no_number_of_readers_frees_what_they_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
