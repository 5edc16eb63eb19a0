/* Processes stopped while they reclaim, move, free or join segments, or compress an item, and others that read,
 * replace, drop or take memory meanwhile. */
#include "shm/cache_layout.h"
#include "tests/fault/lib/play.h"

/* A page is worth compressing, a run is of several segments. */
enum { PAGE = VALUE_PAGE, RUN = VALUE_FOUR, RUN_SEGMENTS = 4, PAIR = VALUE_TWO, FILLING = GUEST + 200 };
enum { SEGMENTS = SCENE_BYTES >> 15 };

/* ---- what comes in between ---- */

enum deed { GET, REPLACE, DROP, DEEDS };

static void do_between(enum deed deed, int key)
{
    switch (deed) {
    case GET:
        assert_int_equal(scene_get(&scene, key), OLD);
        break;
    case REPLACE:
        assert_true(scene_put(&scene, key, NEW));
        assert_int_equal(scene_get(&scene, key), NEW);
        break;
    case DROP:
        scene_invalidate(&scene, key);
        assert_int_equal(scene_get(&scene, key), 0);
        break;
    case DEEDS:
        break;
    }
}

static void assert_done(enum deed deed, int key)
{
    const uint64_t version[DEEDS] = {[GET] = OLD, [REPLACE] = NEW, [DROP] = 0};
    assert_int_equal(scene_get(&scene, key), version[deed]);
    assert_int_equal(scene_audit(&scene).duplicates, 0);
    assert_sound();
}

/* ---- moving ---- */

/* In a sealed segment of its own, the oldest of its queue, and met again. */
static void have_a_popular(int key)
{
    scene_put(&scene, key, OLD);
    scene_get(&scene, key);
    scene_get(&scene, key);
    scene_seal(&scene);
}

static void fill_up(struct scene *s, int row, int unused)
{
    (void)row, (void)unused;
    scene_fill(s, FILLING, SEGMENTS);
}

static void meanwhile_moving(int key, enum fault_point point, enum deed deed)
{
    play_anew(SCENE_ENTRIES);
    have_a_popular(key);
    struct actor mover = actor_paused_at(&scene, point, 1, ONE, fill_up, 0);
    do_between(deed, key);
    actor_ends(&scene, &mover);
    assert_done(deed, key);
    assert_nothing_lost();
}

static void an_item_that_moves_is_read_replaced_and_dropped(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_reclaim_claimed, FAULT_move_copied,  FAULT_clear_done,
                                       FAULT_move_done,       FAULT_reclaim_item, FAULT_reclaim_cleared,
                                       FAULT_free_summed,     FAULT_free_emptied};
    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        for (int deed = 0; deed < DEEDS; deed++)
            meanwhile_moving(THING, points[i], (enum deed)deed);
}

static void a_run_that_is_queued_anew_is_read_replaced_and_dropped(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_reclaim_claimed, FAULT_requeued};
    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        for (int deed = 0; deed < DEEDS; deed++)
            meanwhile_moving(RUN, points[i], (enum deed)deed);
}

static void who_holds_what_moves_has_it_till_the_end(void **state)
{
    (void)state;
    struct cache_entry e;
    have_a_popular(THING);
    struct actor mover = actor_paused_at(&scene, FAULT_move_copied, 1, ONE, fill_up, 0);
    assert_true(scene_hold(&scene, THING, &e));
    actor_ends(&scene, &mover);
    assert_true(cache_is_waited_for(scene.cache, &e));
    play_turn_memory_over();
    assert_int_equal(value_version(THING, &e), OLD);
    cache_release(&e);
    assert_sound();
    assert_nothing_lost();
}

/* The hit changes the word between the mover's look and its change of it. */
static void a_hit_that_is_counted_meanwhile_does_not_keep_a_word(void **state)
{
    (void)state;
    have_a_popular(THING);
    struct actor mover = actor_paused_at(&scene, FAULT_clear_read, 1, ONE, fill_up, 0);
    do_between(GET, THING);
    actor_ends(&scene, &mover);
    assert_done(GET, THING);
    assert_nothing_lost();
}

static void a_hit_that_is_counted_meanwhile_does_not_save_what_expires(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    scene_seal(&scene);
    struct actor keeper = actor_paused_at(&scene, FAULT_clear_read, 1, ONE, play_expire, 0);
    do_between(GET, THING);
    actor_ends(&scene, &keeper);
    assert_int_equal(scene_get(&scene, THING), 0);
    assert_sound();
    assert_nothing_lost();
}

/* ---- dropping ---- */

static const enum fault_point dropping[] = {FAULT_reclaim_claimed, FAULT_clear_done,  FAULT_reclaim_item,
                                            FAULT_reclaim_cleared, FAULT_free_summed, FAULT_free_emptied};

static void put_while_dropped(int key, enum fault_point point)
{
    scene_put(&scene, key, OLD);
    scene_seal(&scene);
    struct actor keeper = actor_paused_at(&scene, point, 1, ONE, play_expire, 0);
    scene_outlive(&scene);
    do_between(REPLACE, key);
    scene_fill(&scene, GUEST, 20);
    actor_ends(&scene, &keeper);
    assert_done(REPLACE, key);
    assert_nothing_lost();
}

static void a_key_whose_item_is_dropped_is_put_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dropping); i++) {
        put_while_dropped(THING, dropping[i]);
        put_while_dropped(RUN, dropping[i]);
    }
}

/* The reader has the word, the reclaimer has summed the pins; the first goes on before the memory is used again. */
static void a_pin_after_the_sum_is_no_pin(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    scene_seal(&scene);
    struct actor reader = actor_paused_at(&scene, FAULT_pin_loaded, 1, ONE, play_hold, THING);
    struct actor keeper = actor_paused_at(&scene, FAULT_free_summed, 1, TWO, play_expire, 0);
    actor_freezes(&keeper);
    fault_release();
    actor_wait_ready(&scene, &reader);
    actor_thaws(&keeper);
    actor_goes_on(&scene, &keeper);
    scene_fill(&scene, TENANT, 30);
    actor_ends(&scene, &reader);
    assert_int_equal(actor_said(&scene), 0);
    assert_sound();
    assert_nothing_lost();
}

static void what_comes_out_of_limbo_is_freed_once(void **state)
{
    (void)state;
    struct cache_entry e;
    scene_put(&scene, THING, OLD);
    assert_true(scene_hold(&scene, THING, &e));
    scene_expire(&scene);
    assert_int_equal(scene_audit(&scene).limbo, 1);
    cache_release(&e);
    struct actor keeper = actor_paused_at(&scene, FAULT_limbo_taken, 1, ONE, play_expire, 0);
    scene_outlive(&scene);
    play_turn_memory_over();
    actor_ends(&scene, &keeper);
    assert_int_equal(scene_get(&scene, TENANT), 1);
    assert_sound();
    assert_nothing_lost();
}

/* ---- asking the main queue's tail ---- */

static uint32_t main_tail(void)
{
    const struct cache *c = scene.cache;
    uint32_t tail = 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < c->segment_count; i++) {
        uint64_t word = c->segments[i].word;
        if (segment_state_of(word) == SEGMENT_SEALED && segment_queue_of(word) == QUEUE_MAIN &&
            c->segments[i].seq < least) {
            least = c->segments[i].seq;
            tail = i;
        }
    }
    return tail;
}

/* A main queue that is full, and a small one of segments of some items. By the cache's seed the tail is near the end of
 * memory or not. */
static uint32_t fill_till_the_tail_is_at_the_end(void)
{
    enum { TRIES = 30 };
    for (int tries = 0; tries < TRIES; tries++) {
        play_anew(SCENE_ENTRIES);
        scene_fill(&scene, GUEST, 2 * SEGMENTS);
        scene_fill(&scene, TENANT, 120);
        if (main_tail() + 2 >= scene.cache->segment_count)
            return main_tail();
    }
    fail();
    return 0;
}

/* One item, in whose body at `at` stand bytes that look like an item with a key of the greatest length. */
static void fill_with_what_looks_like_an_item(uint32_t segment, uint32_t at)
{
    const struct cache_item item = {.bytes = CACHE_KEY_BYTES_MAX + 200, .key_len = CACHE_KEY_BYTES_MAX};
    uint32_t got, offset;
    do
        assert_true(log_append(scene.cache, QUEUE_MAIN, scene.cache->segment_bytes, &got, &offset));
    while (got != segment);
    memcpy((char *)item_at(scene.cache, segment, at), &item, sizeof item);
}

static void fill_small(struct scene *s, int row, int unused)
{
    (void)row, (void)unused;
    scene_fill(s, TENANT + 1000, 10);
}

/* Who asks how often the tail's items are asked for has no pin there: the segment may be another's by now. */
static void a_tail_that_has_come_to_mean_anything_harms_nobody(void **state)
{
    (void)state;
    uint32_t tail = fill_till_the_tail_is_at_the_end(), at = item_at(scene.cache, tail, 0)->bytes;
    struct actor reclaimer = actor_paused_at(&scene, FAULT_reclaim_item, 1, ONE, fill_small, 0);
    assert_true(reclaim_segment(scene.cache, tail, true, scene.now_us + SCENE_LONG_US));
    fill_with_what_looks_like_an_item(tail, at);
    actor_ends(&scene, &reclaimer);
    assert_sound();
    assert_nothing_lost();
}

/* ---- runs ---- */

static void need_all_memory(void)
{
    play_turn_memory_over();
    scene_fill(&scene, PAIR, 20);
    scene_fill(&scene, RUN + 100, 20);
    scene_fill(&scene, GUEST + 500, SEGMENTS);
}

static void meanwhile_a_run_is_made(enum fault_point point, int nth)
{
    struct actor writer = actor_paused_at(&scene, point, nth, ONE, play_put, RUN);
    need_all_memory();
    assert_sound();
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, RUN), NEW);
    assert_sound();
    need_all_memory();
    assert_sound();
    assert_nothing_lost();
}

static void a_run_in_the_making_is_its_owners(void **state)
{
    (void)state;
    meanwhile_a_run_is_made(FAULT_run_claimed, 1);
    meanwhile_a_run_is_made(FAULT_run_filled, 1);
    for (int nth = 1; nth < RUN_SEGMENTS; nth++)
        meanwhile_a_run_is_made(FAULT_run_declared, nth);
    meanwhile_a_run_is_made(FAULT_run_parted, 1);
}

static void assert_all_there(int first, int count)
{
    for (int key = first; key < first + count; key++)
        assert_int_equal(scene_get(&scene, key), 1);
}

static void parts_that_are_free_are_used_while_others_are_not(void **state)
{
    (void)state;
    for (int nth = 1; nth < RUN_SEGMENTS; nth++) {
        scene_put(&scene, RUN, OLD);
        struct actor keeper = actor_paused_at(&scene, FAULT_run_freeing, nth, ONE, play_expire, 0);
        scene_outlive(&scene);
        scene_fill(&scene, PAIR, 3);
        scene_fill(&scene, GUEST, 10);
        actor_ends(&scene, &keeper);
        assert_all_there(PAIR, 3);
        assert_all_there(GUEST, 10);
        assert_sound();
        assert_nothing_lost();
    }
}

/* Who freed it has died on the way. Its first segment is reclaimed only after its parts were taken for another run. */
static void parts_of_another_run_stay_when_a_half_freed_one_goes(void **state)
{
    (void)state;
    for (int nth = 2; nth < RUN_SEGMENTS; nth++) {
        scene_put(&scene, RUN, OLD);
        fault_plan(FAULT_run_freeing, FAULT_KILL, ONE, nth);
        struct actor keeper = actor_enter(&scene, ONE, play_expire, 0);
        actor_dies(&scene, &keeper);
        scene_outlive(&scene);
        scene_put(&scene, PAIR, 1);
        cache_keep(scene.cache, scene.now_us - SCENE_LONG_US); /* only what was put before */
        scene_fill(&scene, GUEST, 10);
        assert_all_there(PAIR, 1);
        assert_all_there(GUEST, 10);
        assert_sound();
        assert_nothing_lost();
    }
}

/* ---- compressing ---- */

static void want_gzip(int key)
{
    struct cache_entry e;
    assert_true(scene_hold(&scene, key, &e));
    cache_want_gzip(scene.cache, &e);
    cache_release(&e);
}

static void keep(struct scene *s, int row, int unused)
{
    (void)row, (void)unused;
    cache_keep(s->cache, s->now_us);
}

static void assert_gzip(int key, bool has)
{
    struct cache_entry e;
    assert_true(scene_hold(&scene, key, &e));
    assert_int_equal(e.gzip.len > 0, has);
    cache_release(&e);
}

static void an_item_that_is_compressed_is_read_replaced_and_dropped(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_gzip_taken, FAULT_take_sized, FAULT_clear_done, FAULT_unpin};
    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        for (int deed = 0; deed < DEEDS; deed++) {
            play_anew(SCENE_ENTRIES);
            scene_put(&scene, PAGE, OLD);
            want_gzip(PAGE);
            struct actor keeper = actor_paused_at(&scene, points[i], 1, ONE, keep, 0);
            do_between((enum deed)deed, PAGE);
            actor_ends(&scene, &keeper);
            assert_done((enum deed)deed, PAGE);
            if (deed == GET)
                assert_gzip(PAGE, true);
            assert_nothing_lost();
        }
}

static void an_item_that_is_compressed_stays_when_its_memory_is_wanted(void **state)
{
    (void)state;
    scene_put(&scene, PAGE, OLD);
    want_gzip(PAGE);
    struct actor keeper = actor_paused_at(&scene, FAULT_gzip_taken, 1, ONE, keep, 0);
    play_turn_memory_over();
    actor_ends(&scene, &keeper);
    assert_int_equal(scene_get(&scene, PAGE), 0);
    assert_sound();
    assert_nothing_lost();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_scene(an_item_that_moves_is_read_replaced_and_dropped),
        in_scene(a_run_that_is_queued_anew_is_read_replaced_and_dropped),
        in_scene(who_holds_what_moves_has_it_till_the_end),
        in_scene(a_hit_that_is_counted_meanwhile_does_not_keep_a_word),
        in_scene(a_hit_that_is_counted_meanwhile_does_not_save_what_expires),
        in_scene(a_key_whose_item_is_dropped_is_put_anew),
        in_scene(a_pin_after_the_sum_is_no_pin),
        in_scene(what_comes_out_of_limbo_is_freed_once),
        in_scene(a_tail_that_has_come_to_mean_anything_harms_nobody),
        in_scene(a_run_in_the_making_is_its_owners),
        in_scene(parts_that_are_free_are_used_while_others_are_not),
        in_scene(parts_of_another_run_stay_when_a_half_freed_one_goes),
        in_scene(an_item_that_is_compressed_is_read_replaced_and_dropped),
        in_scene(an_item_that_is_compressed_stays_when_its_memory_is_wanted),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
