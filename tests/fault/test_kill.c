/* A process is killed at every fault point of shm, in the middle of a life that comes to all of them. It is reaped as
 * the master does, and the others go on as if nothing had happened: every byte right, nothing lost, nobody waiting. */
#include "tests/fault/lib/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OWED is never told how its flight ends, WAITED waits for a flight of this process, WAKING is one whose end wakes. */
static const struct flight_key OWED = {1, 1}, WAITED = {2, 1}, WAKING = {3, 1}, DOOMED = {4, 1};

enum { LIFE = 1, SURVIVOR = 0, OTHER = 3 }; /* rows */
enum { MIXED = VALUE_MIXED, MIXED_COUNT = 40, RUN = VALUE_FOUR, PAIR = VALUE_TWO, PAGE = VALUE_PAGE };
enum { DROPPED = THING, LATER_DROPPED = THING + 1, PINNED = THING + 2 };
enum { SEGMENTS = SCENE_BYTES >> 15, PERMITS = 3 };

/* None comes back meanwhile. */
enum { BURST = 10, CONSUMER = 99 };
static const struct rate rate = {1000000, BURST * 1000000};

/* ---- the life ---- */

static void finish(struct scene *s, const struct flight_ticket *t, int row)
{
    flight_finish(s->flights, t, row, FLIGHT_VALUE, 0, s->shared.wake_fd);
}

static struct flight_ticket join(struct scene *s, struct flight_key key, int row)
{
    return flight_join(s->flights, key, row, s->tags, NULL, 0, true);
}

static void put_and_replace(struct scene *s)
{
    scene_fill(s, MIXED, MIXED_COUNT);
    for (int key = MIXED; key < MIXED + MIXED_COUNT; key++)
        scene_get(s, key);
    for (int key = MIXED; key < MIXED + MIXED_COUNT; key += 2)
        scene_put(s, key, NEW);
    scene_fill(s, RUN, 3);
    for (int i = 0; i < 3; i++)
        scene_get(s, RUN);
}

static void turn_over_and_leave_limbo(struct scene *s)
{
    struct cache_entry e;
    scene_put(s, PINNED + 1, NEW);
    bool held = scene_hold(s, PINNED + 1, &e);
    scene_fill(s, GUEST, 2 * SEGMENTS);
    scene_fill(s, PAIR, 10);
    scene_fill(s, RUN + 10, 10);
    scene_expire(s);
    if (held)
        cache_release(&e);
    scene_expire(s);
}

static void give_and_take_back(struct scene *s)
{
    cache_give(s->cache, SCENE_BYTES / 8);
    for (int i = 0; i < 5; i++)
        cache_keep(s->cache, s->now_us);
    scene_fill(s, GUEST, SEGMENTS);
    cache_give(s->cache, SCENE_BYTES / 16);
    for (int i = 0; i < 5; i++)
        cache_keep(s->cache, s->now_us);
}

static void compress(struct scene *s)
{
    struct cache_entry e;
    scene_put(s, PAGE, NEW);
    if (scene_hold(s, PAGE, &e)) {
        cache_want_gzip(s->cache, &e);
        cache_release(&e);
    }
    while (cache_keep(s->cache, s->now_us)) {
    }
}

static void come_for_permits(struct scene *s, int row)
{
    for (int i = 0; i < 2 * PERMITS; i++)
        if (permits_take(s->shared.permits, PERMIT_ALL, row, 0))
            permits_wait(s->shared.permits, PERMIT_ALL, row);
    permits_leave(s->shared.permits, PERMIT_ALL, row);
    permits_give(s->shared.permits, PERMIT_ALL, row, s->shared.wake_fd);
}

static void live(struct scene *s, int row, int unused)
{
    (void)unused;
    const uint32_t slots[] = {value_tag(LATER_DROPPED), value_group(LATER_DROPPED)};
    join(s, OWED, row);
    struct flight_ticket waited = join(s, WAITED, row), waking = join(s, WAKING, row);
    flight_leave(s->flights, &waited, row);
    put_and_replace(s);
    tags_raise(s->tags, slots, 2);
    actor_says(s, 1); /* acknowledged */
    turn_over_and_leave_limbo(s);
    give_and_take_back(s);
    compress(s);
    finish(s, &waking, row);
    come_for_permits(s, row);
    CHECK(rates_take(s->shared.rates, CONSUMER, &rate, 0).passes);
    put_and_replace(s);
}

/* ---- what is there before it ---- */

struct before {
    struct flight_ticket mine; /* WAITED's */
    struct cache_entry pinned;
    uint64_t born_seq;
};

/* OTHER has a bit in WAKING from a flight that is over. */
static struct before set_before(void)
{
    struct before b = {.born_seq = tags_now(scene.tags)};
    scene_put(&scene, DROPPED, OLD);
    scene_put(&scene, LATER_DROPPED, OLD);
    scene_put(&scene, PINNED, OLD);
    scene_invalidate(&scene, DROPPED);
    assert_true(scene_hold(&scene, PINNED, &b.pinned));
    permits_limit(scene.shared.permits, (int[]){PERMIT_ALL}, (int[]){PERMITS}, 1);
    assert_true(permits_take(scene.shared.permits, PERMIT_ALL, SURVIVOR, 0));
    scene_seal(&scene);
    b.mine = join(&scene, WAITED, SURVIVOR);
    struct flight_ticket first = join(&scene, WAKING, SURVIVOR);
    assert_int_equal(join(&scene, WAKING, OTHER).role, FLIGHT_WAITER);
    finish(&scene, &first, SURVIVOR);
    scene_forget_wakes(&scene, OTHER);
    return b;
}

/* ---- what must be there after it ---- */

static void assert_right(int first, int count)
{
    for (int key = first; key < first + count; key++)
        assert_int_not_equal(scene_get(&scene, key), VALUE_WRONG);
}

static void assert_bytes_and_drops(struct before *b, bool acknowledged)
{
    assert_right(MIXED, MIXED_COUNT);
    assert_right(RUN, 20);
    assert_right(PAIR, 10);
    assert_right(GUEST, 2 * SEGMENTS);
    assert_right(PAGE, 1);
    assert_int_equal(scene_get(&scene, DROPPED), 0);
    if (acknowledged)
        assert_int_equal(scene_get(&scene, LATER_DROPPED), 0);
    scene_invalidate(&scene, RUN);
    assert_int_equal(scene_get(&scene, RUN), 0);
    scene_put_born(&scene, DROPPED, OLD, b->born_seq);
    assert_int_equal(scene_get(&scene, DROPPED), 0);
    assert_int_equal(value_version(PINNED, &b->pinned), OLD);
}

/* Before the master comes a waiter may have joined what the dead one flew. */
static void assert_flights(struct before *b, struct flight_ticket *owed)
{
    int status;
    if (owed->role == FLIGHT_WAITER) {
        assert_true(scene_wakes(&scene, SURVIVOR));
        assert_int_not_equal(flight_look(scene.flights, owed, &status), FLIGHT_RUNNING);
    }
    assert_true(scene_wakes(&scene, OTHER));
    const struct flight_key keys[] = {OWED, WAKING, DOOMED};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct flight_ticket t = join(&scene, keys[i], OTHER);
        assert_true(t.role == FLIGHT_OWNER || (keys[i].hash == OWED.hash && owed->role == FLIGHT_OWNER));
        finish(&scene, &t, OTHER);
    }
    finish(&scene, &b->mine, SURVIVOR);
    assert_int_equal(flight_look(scene.flights, &b->mine, &status), FLIGHT_HAS_VALUE);
}

static void assert_permits(void)
{
    int taken = 1; /* since before its life */
    assert_in_range(permits_in_use(scene.shared.permits, PERMIT_ALL), 1, PERMITS + 1);
    assert_int_equal(shared_settle(&scene.shared, scene.now_us + SCENE_LONG_US), INT64_MAX);
    while (permits_take(scene.shared.permits, PERMIT_ALL, OTHER, 0))
        taken++;
    assert_int_equal(taken, PERMITS);
}

/* It counted its request, or did not come to it. */
static void assert_bucket(void)
{
    int taken = 0;
    while (rates_take(scene.shared.rates, CONSUMER, &rate, 0).passes)
        taken++;
    assert_in_range(taken, BURST - 1, BURST);
}

static uint64_t refilled(int first, int count)
{
    scene_fill(&scene, first, count);
    struct cache_audit a = scene_audit(&scene);
    assert_int_equal(a.duplicates, 0);
    assert_sound();
    return a.words;
}

enum { SIZES = 2, CHANCE = 4 }; /* in which of the small ones are rescued */
static const int filling[SIZES] = {GUEST, TENANT}, filling_count[SIZES] = {2 * SEGMENTS, 2 * SCENE_ENTRIES};
static uint64_t fresh_words[SIZES];

static void measure_fresh(void)
{
    for (int i = 0; i < SIZES; i++) {
        play_anew(SCENE_ENTRIES);
        fresh_words[i] = refilled(filling[i], filling_count[i]);
    }
}

static void assert_memory(struct before *b)
{
    cache_release(&b->pinned);
    for (int i = 0; i < SIZES; i++) {
        assert_nothing_lost();
        assert_true(refilled(filling[i], filling_count[i]) + CHANCE >= fresh_words[i]);
    }
}

/* ---- each point ---- */

/* By the worker's tests from outside, and by test_delay_heavy. */
static bool is_tried_elsewhere(enum fault_point point)
{
    const char *name = fault_names[point];
    return strncmp(name, "write_", 6) == 0 || strncmp(name, "fetch_", 6) == 0 || strncmp(name, "heavy_", 6) == 0;
}

/* False: the nth time never came. */
static bool die_at(enum fault_point point, int nth)
{
    play_anew(SCENE_ENTRIES);
    struct before b = set_before();
    fault_plan(point, FAULT_KILL, LIFE, nth);
    struct actor life = actor_enter(&scene, LIFE, live, 0);
    int status = actor_wait(&life);
    if (!actor_was_killed(status)) {
        assert_int_equal(status, 0);
        return false;
    }
    assert_sound();
    struct flight_ticket owed = join(&scene, OWED, SURVIVOR);
    scene_forget_wakes(&scene, SURVIVOR);
    scene_forget_wakes(&scene, OTHER);
    shared_reap(&scene.shared, LIFE, scene.now_us);
    assert_sound();
    assert_flights(&b, &owed);
    assert_bytes_and_drops(&b, actor_said(&scene) == 1);
    assert_permits();
    assert_bucket();
    assert_memory(&b);
    return true;
}

/* The first time, and some later ones if there are any. */
static void killed_anywhere_it_wedges_nobody_and_loses_nothing(void **state)
{
    (void)state;
    const int later[] = {2, 9, 100};
    measure_fresh();
    for (int point = 0; point < FAULT_COUNT; point++) {
        if (is_tried_elsewhere((enum fault_point)point))
            continue;
        play_hurry();
        if (!die_at((enum fault_point)point, 1))
            fail_msg("%s is never reached", fault_names[point]);
        for (size_t i = 0; i < ARRAY_LEN(later); i++)
            die_at((enum fault_point)point, later[i]);
        printf("%s ", fault_names[point]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {in_scene(killed_anywhere_it_wedges_nobody_and_loses_nothing)};
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
