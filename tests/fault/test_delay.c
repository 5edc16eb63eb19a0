/* Processes stopped at a fault point while another does what conflicts with it: the cache. Flights and tags are in
 * test_delay_flight.c. */
#include "shm/cache_layout.h"
#include "tests/fault/lib/play.h"

#include <stdlib.h>

/* ---- readers ---- */

static void a_reader_without_its_pin_yet_misses_what_was_freed(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_pin_loaded, 1, ONE, play_hold, THING);
    scene_expire(&scene);
    fault_release();
    actor_wait_ready(&scene, &reader);
    scene_fill(&scene, TENANT, 30);
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), 0);
    assert_sound();
    assert_nothing_lost();
}

static void a_reader_without_its_pin_yet_finds_what_came_to_the_same_place(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_pin_loaded, 1, ONE, play_get, THING);
    scene_expire(&scene);
    scene_put(&scene, THING, NEW);
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), NEW);
    assert_sound();
}

static void a_reader_looks_again_where_a_word_has_changed(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_pin_loaded, FAULT_pin_stored};
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        scene_put(&scene, THING + (int)i, OLD);
        struct actor reader = actor_paused_at(&scene, points[i], 1, ONE, play_get, THING + (int)i);
        scene_put(&scene, THING + (int)i, NEW);
        actor_ends(&scene, &reader);
        assert_int_equal(actor_said(&scene), NEW);
    }
    assert_sound();
}

static void a_pin_that_came_too_late_holds_memory_back_and_lets_it_go(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_pin_stored, 1, ONE, play_get, THING);
    play_turn_memory_over();
    assert_int_equal(scene_audit(&scene).limbo, 1);
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), 0);
    assert_sound();
    assert_nothing_lost();
}

static void hold_while_memory_turns_over(int key)
{
    scene_put(&scene, key, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_pin_held, 1, ONE, play_hold, key);
    play_turn_memory_over();
    assert_int_equal(scene_get(&scene, key), 0);
    fault_release();
    actor_wait_ready(&scene, &reader);
    play_turn_memory_over();
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), OLD);
    assert_sound();
    assert_nothing_lost();
}

static void what_a_reader_has_pinned_stays(void **state)
{
    (void)state;
    hold_while_memory_turns_over(THING);
}

static void what_a_reader_has_pinned_stays_be_it_large(void **state)
{
    (void)state;
    hold_while_memory_turns_over(VALUE_FOUR);
}

static void a_holder_is_told_that_others_wait_for_its_memory(void **state)
{
    (void)state;
    struct cache_entry e;
    scene_put(&scene, THING, OLD);
    assert_true(scene_hold(&scene, THING, &e));
    assert_false(cache_is_waited_for(scene.cache, &e));
    play_turn_memory_over();
    assert_true(cache_is_waited_for(scene.cache, &e));
    assert_int_equal(value_version(THING, &e), OLD);
    cache_release(&e);
    assert_nothing_lost();
}

static void a_late_count_of_a_hit_brings_nothing_back(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_freq_read, 1, ONE, play_get, THING);
    play_turn_memory_over();
    actor_ends(&scene, &reader);
    assert_int_equal(scene_get(&scene, THING), 0);
    assert_sound();
    assert_nothing_lost();
}

static void a_late_count_of_a_hit_does_not_undo_a_replacement(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_paused_at(&scene, FAULT_freq_read, 1, ONE, play_get, THING);
    scene_put(&scene, THING, NEW);
    actor_ends(&scene, &reader);
    assert_int_equal(scene_get(&scene, THING), NEW);
    assert_sound();
}

static void a_writer_that_still_pins_what_it_replaced_holds_nothing_else_up(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor writer = actor_paused_at(&scene, FAULT_unpin, 1, ONE, play_put, THING);
    assert_int_equal(scene_get(&scene, THING), NEW);
    play_turn_memory_over();
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, THING), NEW);
    assert_sound();
    assert_nothing_lost();
}

/* ---- keys that look alike ---- */

enum { ALIKE_FIRST = 1000000, ALIKE_COUNT = 1 << 17 };

struct alike {
    uint64_t tag;
    int key;
};

static int by_tag(const void *a, const void *b)
{
    const struct alike *x = a, *y = b;
    return (x->tag > y->tag) - (x->tag < y->tag);
}

static bool have_the_same_buckets(uint64_t a, uint64_t b, uint32_t buckets)
{
    uint32_t a1 = spread((uint32_t)a, buckets), a2 = spread((uint32_t)(a >> 32), buckets);
    uint32_t b1 = spread((uint32_t)b, buckets), b2 = spread((uint32_t)(b >> 32), buckets);
    return (a1 == b1 && a2 == b2) || (a1 == b2 && a2 == b1);
}

static uint64_t hash_of(int key)
{
    char name[VALUE_KEY_BYTES];
    return cache_key(scene.cache, value_key(key, name)).hash;
}

/* Two keys with the same tag that are looked for in the same buckets. */
static void find_alike(int *one_out, int *two_out)
{
    struct alike *all = xcalloc(ALIKE_COUNT, sizeof *all);
    for (int i = 0; i < ALIKE_COUNT; i++)
        all[i] = (struct alike){word_tag(hash_of(ALIKE_FIRST + i)), ALIKE_FIRST + i};
    qsort(all, ALIKE_COUNT, sizeof *all, by_tag);
    *one_out = *two_out = 0;
    for (int i = 1; i < ALIKE_COUNT; i++)
        if (all[i].tag == all[i - 1].tag &&
            have_the_same_buckets(hash_of(all[i].key), hash_of(all[i - 1].key), scene.cache->bucket_count)) {
            *one_out = all[i - 1].key;
            *two_out = all[i].key;
        }
    free(all);
}

static void a_key_whose_word_looks_the_same_is_another_key(void **state)
{
    (void)state;
    int one, two;
    play_anew(16); /* few buckets */
    find_alike(&one, &two);
    assert_int_not_equal(one, two);
    scene_put(&scene, one, OLD);
    assert_int_equal(scene_get(&scene, two), 0);
    scene_put(&scene, two, NEW);
    assert_int_equal(scene_get(&scene, one), OLD);
    assert_int_equal(scene_get(&scene, two), NEW);
}

/* ---- writers ---- */

static const enum fault_point writing[] = {FAULT_put_taken, FAULT_put_filled, FAULT_publish_counted,
                                           FAULT_publish_settling, FAULT_put_published};
enum { BORN = 5 };

static void put_new_born(struct scene *s, int row, int key)
{
    (void)row;
    actor_says(s, scene_put_born(s, key, NEW, BORN));
}

static void write_while_another_writes(enum fault_point point, int key, bool before, uint64_t born_seq)
{
    if (before)
        scene_put_born(&scene, key, OLD + 10, 0);
    struct actor writer = actor_paused_at(&scene, point, 1, ONE, put_new_born, key);
    bool stored = scene_put_born(&scene, key, OLD, born_seq);
    uint64_t meanwhile = scene_get(&scene, key);
    actor_ends(&scene, &writer);
    uint64_t had = scene_get(&scene, key);
    assert_true(stored || born_seq < BORN);
    assert_true(meanwhile != 0 && meanwhile != VALUE_WRONG);
    if (born_seq != BORN)
        assert_int_equal(had, born_seq > BORN ? OLD : NEW);
    else
        assert_true(had == OLD || had == NEW);
    assert_int_equal(scene_audit(&scene).duplicates, 0);
    assert_sound();
}

static void of_two_writers_the_later_born_wins(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(writing); i++)
        for (int way = 0; way < 6; way++)
            write_while_another_writes(writing[i], THING + (int)i * 6 + way, way >= 3, BORN - 1 + (uint64_t)way % 3);
    assert_nothing_lost();
}

/* The next key from `from` on that has these buckets of four. */
static int key_in(int from, uint32_t one, uint32_t two)
{
    while (spread((uint32_t)hash_of(from), 4) != one || spread((uint32_t)(hash_of(from) >> 32), 4) != two)
        from++;
    return from;
}

/* The writer finds the place of its old word empty, and looks at those behind it alone; meanwhile the key is entered
 * into a place before it. */
static void two_that_enter_a_key_at_once_leave_one(void **state)
{
    (void)state;
    for (uint64_t born_seq = BORN - 1; born_seq <= BORN + 1; born_seq++) {
        play_anew(16);
        assert_int_equal(scene.cache->bucket_count, 4);
        int thing = key_in(THING, 1, 2), before = key_in(THING, 1, 1), beside = key_in(THING, 2, 2);
        scene_fill(&scene, before, 1);
        scene_fill(&scene, beside, 1);
        scene_fill(&scene, key_in(beside + 1, 2, 2), 1);
        scene_put_born(&scene, thing, OLD, BORN);
        struct actor writer = actor_paused_at(&scene, FAULT_pin_loaded, 1, ONE, put_new_born, thing);
        scene_expire(&scene);
        scene.now_us++; /* made later than what the other one holds */
        scene_put_born(&scene, thing, OLD, born_seq);
        actor_ends(&scene, &writer);
        assert_int_equal(scene_audit(&scene).duplicates, 0);
        uint64_t had = scene_get(&scene, thing);
        assert_int_equal(had, born_seq >= BORN ? OLD : NEW);
        assert_sound();
    }
}

static void what_a_writer_fills_is_its_own(void **state)
{
    (void)state;
    const int keys[] = {THING, VALUE_FOUR, VALUE_ABSENCE};
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (size_t i = 0; i < ARRAY_LEN(writing); i++) {
            struct actor writer = actor_paused_at(&scene, writing[i], 1, ONE, play_put, keys[k]);
            play_turn_memory_over();
            play_turn_memory_over();
            actor_ends(&scene, &writer);
            assert_int_equal(scene_get(&scene, keys[k]), NEW);
            assert_sound();
            assert_nothing_lost();
        }
}

static void what_a_doomed_writer_fills_is_its_own(void **state)
{
    (void)state;
    struct actor writer = actor_paused_at(&scene, FAULT_put_filled, 1, ONE, play_put, THING);
    actor_is_doomed(&scene, &writer);
    play_turn_memory_over();
    fault_plan(FAULT_put_published, FAULT_KILL, ONE, 1);
    fault_release();
    actor_dies(&scene, &writer);
    assert_sound();
    assert_int_equal(scene_get(&scene, THING), NEW);
    assert_nothing_lost();
}

static void what_a_doomed_reader_has_pinned_stays(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor reader = actor_enter(&scene, ONE, play_hold, THING);
    actor_wait_ready(&scene, &reader);
    actor_is_doomed(&scene, &reader);
    play_turn_memory_over();
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), OLD);
    assert_sound();
    assert_nothing_lost();
}

static void what_is_dropped_while_it_is_written_is_never_served(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(writing); i++) {
        struct actor writer = actor_paused_at(&scene, writing[i], 1, ONE, play_put, THING);
        scene_invalidate(&scene, THING);
        assert_int_equal(scene_get(&scene, THING), 0);
        actor_ends(&scene, &writer);
        assert_int_equal(scene_get(&scene, THING), 0);
        assert_sound();
    }
    assert_nothing_lost();
}

/* ---- segments ---- */

static void put_many(struct scene *s, int row, int key)
{
    (void)row;
    scene_put(s, key, NEW);
    scene_fill(s, GUEST + 200, 10); /* each seals a segment and opens one */
}

static void a_segment_that_is_opened_or_sealed_is_its_owners(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_open_claimed, FAULT_take_sized, FAULT_seal_numbered};
    for (int i = 0; i < 2 * (int)ARRAY_LEN(points); i++) {
        struct actor writer = actor_paused_at(&scene, points[i / 2], 1 + i % 2, ONE, put_many, THING);
        play_turn_memory_over();
        actor_ends(&scene, &writer);
        assert_int_equal(scene_get(&scene, GUEST + 209), 1);
        assert_sound();
        assert_nothing_lost();
    }
}

static void a_writer_that_dies_over_an_item_leaves_no_hole(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 3; nth++) {
        fault_plan(FAULT_take_sized, FAULT_KILL, ONE, nth);
        struct actor writer = actor_enter(&scene, ONE, put_many, THING);
        actor_dies(&scene, &writer);
        play_turn_memory_over(); /* a hole holds the walk up for ever: the alarm */
        assert_sound();
        assert_nothing_lost();
    }
}

static void a_header_that_is_being_told_is_told_twice(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_head_claimed, FAULT_head_filled};
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        int key = THING + (int)i * 7; /* own heads */
        struct actor writer = actor_paused_at(&scene, points[i], 1, ONE, play_put, key);
        scene_put(&scene, key, OLD);
        assert_int_equal(scene_get(&scene, key), OLD);
        actor_ends(&scene, &writer);
        assert_int_equal(scene_get(&scene, key), NEW);
        scene_put(&scene, key, OLD);
        assert_int_equal(scene_get(&scene, key), OLD);
    }
    assert_sound();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_scene(a_reader_without_its_pin_yet_misses_what_was_freed),
        in_scene(a_reader_without_its_pin_yet_finds_what_came_to_the_same_place),
        in_scene(a_reader_looks_again_where_a_word_has_changed),
        in_scene(a_pin_that_came_too_late_holds_memory_back_and_lets_it_go),
        in_scene(what_a_reader_has_pinned_stays),
        in_scene(what_a_reader_has_pinned_stays_be_it_large),
        in_scene(a_holder_is_told_that_others_wait_for_its_memory),
        in_scene(a_late_count_of_a_hit_brings_nothing_back),
        in_scene(a_late_count_of_a_hit_does_not_undo_a_replacement),
        in_scene(a_writer_that_still_pins_what_it_replaced_holds_nothing_else_up),
        in_scene(a_key_whose_word_looks_the_same_is_another_key),
        in_scene(of_two_writers_the_later_born_wins),
        in_scene(two_that_enter_a_key_at_once_leave_one),
        in_scene(what_a_writer_fills_is_its_own),
        in_scene(what_a_doomed_writer_fills_is_its_own),
        in_scene(what_a_doomed_reader_has_pinned_stays),
        in_scene(what_is_dropped_while_it_is_written_is_never_served),
        in_scene(a_segment_that_is_opened_or_sealed_is_its_owners),
        in_scene(a_writer_that_dies_over_an_item_leaves_no_hole),
        in_scene(a_header_that_is_being_told_is_told_twice),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
