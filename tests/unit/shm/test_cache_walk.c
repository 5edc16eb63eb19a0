/* What the cache tells of its entries: why one is missing, which ones had to go, and what is there. */
#include "tests/unit/shm/caches.h"

#include "shm/purge.h"

#include <string.h>

enum { KEYS = 300, BYTES = 200 };

static int seen[2 * KEYS], evicted[2 * KEYS], seen_count;
static uint64_t seen_bytes;

static int set_up_counts(void **state)
{
    memset(seen, 0, sizeof seen);
    memset(evicted, 0, sizeof evicted);
    seen_count = 0;
    seen_bytes = 0;
    return set_up(state);
}

#define counted(test) cmocka_unit_test_setup_teardown(test, set_up_counts, tear_down)

static enum cache_absence absence_of(const char *key)
{
    struct cache_entry e;
    memset(&e, 0xff, sizeof e);
    assert_int_equal(borrow(key, &e), CACHE_MISS);
    return e.absence;
}

static int number_of(struct slice key)
{
    char name[NAME_BYTES] = "";
    int number = -1;
    memcpy(name, key.at, MIN(key.len, sizeof name - 1));
    assert_int_equal(sscanf(name, "key%d", &number), 1);
    return number;
}

/* ---- why it is missing ---- */

static void a_miss_tells_what_it_met_and_takes_it_away(void **state)
{
    (void)state;
    rules.tti_us = 10 * US_PER_S;
    assert_int_equal(absence_of("a"), CACHE_ABSENT);
    assert_true(put("a", for_ms(text("x"), 1000)));
    now_us += US_PER_S;
    assert_int_equal(absence_of("a"), CACHE_EXPIRED);
    assert_int_equal(absence_of("a"), CACHE_ABSENT);
    assert_true(put("a", text("x")));
    now_us += 10 * US_PER_S;
    assert_int_equal(absence_of("a"), CACHE_IDLE);
    assert_true(put("a", for_ms(text("x"), 9000))); /* nor would it be there with a longer tti */
    now_us += 10 * US_PER_S;
    assert_int_equal(absence_of("a"), CACHE_EXPIRED);
    assert_true(put("a", tagged(text("x"), "t")));
    invalidate("t");
    assert_int_equal(absence_of("a"), CACHE_DROPPED);
    assert_int_equal(absence_of("a"), CACHE_ABSENT);
}

static void word_that_there_is_nothing_is_nothing(void **state)
{
    struct cache_entry mark = for_ms(text(""), 1000);
    (void)state;
    mark.uncacheable = true;
    assert_true(put("a", mark));
    now_us += US_PER_S;
    assert_int_equal(absence_of("a"), CACHE_ABSENT);
}

/* ---- what had to go ---- */

static void on_evicted(void *arg, struct slice key)
{
    assert_ptr_equal(arg, evicted);
    evicted[number_of(key)]++;
}

/* Each that is not there any more was told, once. */
static void assert_told(int count)
{
    int told = 0;
    for (int i = 0; i < count; i++) {
        assert_int_equal(evicted[i], look(name_of(i)) == CACHE_MISS);
        told += evicted[i];
    }
    assert_int_equal(told, usage().evicted);
    assert_true(told > 0);
}

static void what_is_dropped_for_room_is_told(void **state)
{
    (void)state;
    make(SIZE, 100);
    cache_on_evicted(cache, on_evicted, evicted);
    for (int i = 0; i < KEYS; i++)
        assert_true(put_number(i, BYTES));
    assert_told(KEYS);
}

/* Two buckets have no place for more than 16 keys, whatever room there is. */
static void what_gives_its_place_in_the_index_is_told(void **state)
{
    (void)state;
    make(SIZE, 4);
    assert_in_range(cache_buckets(cache), 1, 2);
    cache_on_evicted(cache, on_evicted, evicted);
    for (int i = 0; i < 40; i++)
        assert_true(put_number(i, 10));
    assert_told(40);
}

static void what_is_over_or_was_replaced_had_not_to_go(void **state)
{
    (void)state;
    cache_on_evicted(cache, on_evicted, evicted);
    for (int i = 0; i < KEYS; i++)
        assert_true(put(name_of(i), for_ms(text("x"), 1000)));
    for (int i = 0; i < KEYS; i++)
        assert_true(put(name_of(i), for_ms(text("y"), 1000)));
    now_us += US_PER_S;
    let_go_of_everything();
    assert_int_equal(usage().entries, 0);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(evicted[i], 0);
}

/* ---- what is there ---- */

static bool count(void *arg, const struct cache_seen *item)
{
    (void)arg;
    seen[number_of(item->key)]++;
    seen_count++;
    seen_bytes += item->bytes;
    return false;
}

static void a_walk_in_parts_shows_each_entry_once(void **state)
{
    uint32_t at = 0;
    int parts = 0;
    (void)state;
    for (int i = 0; i < KEYS; i++)
        assert_true(put_number(i, BYTES));
    do {
        at = cache_walk(cache, at, 7, count, NULL);
        parts++;
    } while (at != 0);
    assert_int_equal(parts, (cache_buckets(cache) + 6) / 7);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(seen_bytes, sound().live_bytes);
    assert_int_equal(cache_walk(cache, cache_buckets(cache) + 5, 7, count, NULL), 0);
    assert_int_equal(seen_count, KEYS);
}

static bool drop_tagged(void *arg, const struct cache_seen *item)
{
    const uint32_t *slot = arg;
    return item->tag_count == 1 && item->tag_slots[0] == *slot;
}

static void what_shall_go_goes(void **state)
{
    uint32_t slot = tags_slot(SLICE("odd"));
    (void)state;
    for (int i = 0; i < KEYS; i++)
        assert_true(put(name_of(i), tagged(text("x"), i % 2 ? "odd" : "even")));
    assert_int_equal(cache_walk(cache, 0, UINT32_MAX, drop_tagged, &slot), 0);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(look(name_of(i)), i % 2 ? CACHE_MISS : CACHE_FRESH);
    assert_int_equal(usage().entries, KEYS / 2);
    assert_int_equal(usage().evicted, 0);
}

/* ---- what an operator asks for ---- */

static void a_purge_is_asked_for_and_done(void **state)
{
    struct purge *purge = control.purge;
    struct purge_order order;
    struct purge_result result;
    (void)state;
    assert_false(purge_asked(purge, &order));
    uint64_t first = purge_ask(purge, PURGE_TAG, 7);
    assert_true(purge_asked(purge, &order));
    assert_true(order.number == first && order.kind == PURGE_TAG && order.slot == 7);
    assert_true(purge_asked(purge, &order)); /* by the next keeper */
    assert_false(purge_is_done(purge, first, &result));
    uint64_t second = purge_ask(purge, PURGE_ALL, 0); /* the first was given up */
    purge_done(purge, first, &(struct purge_result){1, 100});
    assert_false(purge_is_done(purge, second, &result));
    assert_true(purge_asked(purge, &order));
    assert_true(order.number == second && order.kind == PURGE_ALL);
    purge_done(purge, second, &(struct purge_result){2, 200});
    assert_false(purge_asked(purge, &order));
    assert_true(purge_is_done(purge, second, &result));
    assert_true(result.entries == 2 && result.bytes == 200);
    assert_int_not_equal(purge_route_slot("GET /a"), purge_route_slot("GET /b"));
    assert_int_not_equal(purge_route_slot("GET /a"), tags_slot(SLICE("GET /a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        counted(a_miss_tells_what_it_met_and_takes_it_away),
        counted(word_that_there_is_nothing_is_nothing),
        counted(what_is_dropped_for_room_is_told),
        counted(what_gives_its_place_in_the_index_is_told),
        counted(what_is_over_or_was_replaced_had_not_to_go),
        counted(a_walk_in_parts_shows_each_entry_once),
        counted(what_shall_go_goes),
        counted(a_purge_is_asked_for_and_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
