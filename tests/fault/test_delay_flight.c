/* Processes stopped on the way through a flight or an invalidation, while others join, end, take over, reap, read and
 * store. */
#include "tests/fault/lib/play.h"

#include <unistd.h>

enum { THREE = 3, ME = 0 }; /* more rows; this process plays both, and any that it claims to be */

/* The same slot; ALIKE has the same fragment too, OTHER has not. */
static const struct flight_key KEY = {7, 1}, ALIKE = {7 + (UINT64_C(1) << 20), 2}, OTHER = {7 + (UINT64_C(1) << 60), 3};
static const uint32_t TAG = 77;

static struct flight_ticket join_as(struct scene *s, struct flight_key key, int row, bool wait)
{
    return flight_join(s->flights, key, row, s->tags, &TAG, 1, wait);
}

static struct flight_ticket join(struct flight_key key)
{
    return join_as(&scene, key, ME, true);
}

static void finish(struct scene *s, const struct flight_ticket *t, int row, enum flight_end end, int status)
{
    flight_finish(s->flights, t, row, end, status, s->shared.wake_fd);
}

static enum flight_view look(struct flight_ticket *t)
{
    int status = 0;
    enum flight_view view = flight_look(scene.flights, t, &status);
    if (view == FLIGHT_HAS_FAILED)
        assert_int_equal(status, 500);
    return view;
}

static void drop_tag(void)
{
    tags_raise(scene.tags, &TAG, 1);
}

/* Whoever is woken by a death looks at what it waits for, and finds that it must do it itself. */
static void assert_gets_on(struct flight_ticket *t, int row)
{
    assert_true(scene_wakes(&scene, row));
    assert_int_not_equal(look(t), FLIGHT_RUNNING);
}

/* ---- parts: they say their role + 1 ---- */

enum { SAYS_OWNER = FLIGHT_OWNER + 1, SAYS_WAITER = FLIGHT_WAITER + 1 };

static void fly(struct scene *s, int row, int end)
{
    struct flight_ticket t = join_as(s, KEY, row, true);
    actor_says(s, t.role + UINT64_C(1));
    if (t.role == FLIGHT_OWNER)
        finish(s, &t, row, (enum flight_end)end, 500);
}

static void wait_for_flight(struct scene *s, int row, int unused)
{
    (void)unused;
    struct flight_ticket t = join_as(s, KEY, row, true);
    actor_says(s, t.role + UINT64_C(1));
    if (t.role == FLIGHT_WAITER && !scene_wakes(s, row))
        _exit(1);
}

/* ---- an owner that is on its way ---- */

static const enum fault_point flying[] = {FAULT_flight_claimed, FAULT_flight_told, FAULT_flight_running};

static void who_joins_waits_and_is_woken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flying); i++) {
        struct actor owner = actor_paused_at(&scene, flying[i], 1, ONE, fly, FLIGHT_VALUE);
        struct flight_ticket t = join(KEY);
        assert_int_equal(t.role, FLIGHT_WAITER);
        assert_int_equal(look(&t), FLIGHT_RUNNING);
        actor_ends(&scene, &owner);
        assert_true(scene_wakes(&scene, ME));
        assert_int_equal(look(&t), FLIGHT_HAS_VALUE);
        flight_leave(scene.flights, &t, ME);
    }
}

static void another_key_flies_alone_or_waits_and_learns_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flying); i++) {
        struct actor owner = actor_paused_at(&scene, flying[i], 1, ONE, fly, FLIGHT_ERROR);
        assert_int_equal(join(OTHER).role, FLIGHT_UNSHARED);
        struct flight_ticket same = join(KEY), alike = join_as(&scene, ALIKE, THREE, true);
        /* Before the key is told the fragment is all there is to see. */
        assert_int_equal(alike.role, flying[i] == FAULT_flight_running ? FLIGHT_UNSHARED : FLIGHT_WAITER);
        actor_ends(&scene, &owner);
        assert_int_equal(look(&same), FLIGHT_HAS_FAILED);
        if (alike.role == FLIGHT_WAITER)
            assert_int_equal(look(&alike), FLIGHT_GONE);
    }
}

static void who_must_not_wait_does_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flying); i++) {
        struct actor owner = actor_paused_at(&scene, flying[i], 1, ONE, fly, FLIGHT_VALUE);
        assert_int_equal(join_as(&scene, KEY, ME, false).role, FLIGHT_UNSHARED);
        actor_ends(&scene, &owner);
    }
}

static void a_doomed_flight_is_flown_anew_and_wakes_all(void **state)
{
    (void)state;
    struct actor owner = actor_paused_at(&scene, FAULT_flight_running, 1, ONE, fly, FLIGHT_VALUE);
    struct flight_ticket old = join_as(&scene, KEY, THREE, true);
    drop_tag();
    struct flight_ticket t = join(KEY);
    assert_int_equal(t.role, FLIGHT_OWNER);
    assert_int_equal(t.born_seq, tags_now(scene.tags));
    actor_ends(&scene, &owner); /* its end tells nobody anything */
    scene_forget_wakes(&scene, THREE);
    assert_int_equal(look(&old), FLIGHT_GONE);
    struct flight_ticket late = join_as(&scene, KEY, TWO, true);
    assert_int_equal(look(&late), FLIGHT_RUNNING);
    finish(&scene, &t, ME, FLIGHT_VALUE, 0);
    assert_true(scene_wakes(&scene, THREE));
    assert_true(scene_wakes(&scene, TWO));
    assert_int_equal(look(&late), FLIGHT_HAS_VALUE);
}

/* A tag is raised between a joiner's looks at the sequence and at its tags. The owner has yet to tell its key: who took
 * the flight from it now would have it told over its own. */
static void join_alike(struct scene *s, int row, int unused)
{
    (void)unused;
    struct flight_ticket t = join_as(s, ALIKE, row, true);
    actor_says(s, t.role + UINT64_C(1));
    actor_waits(s);
    if (t.role == FLIGHT_OWNER)
        finish(s, &t, row, FLIGHT_ERROR, 500);
}

static void who_has_not_told_its_key_yet_keeps_its_flight(void **state)
{
    (void)state;
    struct actor owner = actor_paused_at(&scene, FAULT_flight_claimed, 1, ONE, fly, FLIGHT_VALUE);
    struct actor joiner = actor_paused_at(&scene, FAULT_flight_met, 1, TWO, join_alike, 0);
    drop_tag();
    actor_freezes(&owner);
    fault_release();
    actor_wait_ready(&scene, &joiner);
    actor_thaws(&owner);
    assert_int_equal(actor_wait(&owner), 0);
    struct flight_ticket t = join(KEY);
    assert_int_equal(t.role, FLIGHT_OWNER);
    actor_ends(&scene, &joiner);
    assert_int_equal(look(&t), FLIGHT_RUNNING);
}

static void a_flight_is_taken_over_when_it_runs_and_wakes_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flying); i++) {
        bool runs = flying[i] == FAULT_flight_running;
        struct actor owner = actor_paused_at(&scene, flying[i], 1, ONE, fly, FLIGHT_VALUE);
        struct flight_ticket t = join(KEY), other = join_as(&scene, KEY, THREE, true);
        assert_int_equal(flight_take_over(scene.flights, &t, ME, scene.tags), runs);
        if (runs)
            assert_false(flight_take_over(scene.flights, &other, THREE, scene.tags));
        actor_ends(&scene, &owner);
        scene_forget_wakes(&scene, THREE);
        if (runs) {
            assert_int_equal(look(&other), FLIGHT_GONE);
            finish(&scene, &t, ME, FLIGHT_VALUE, 0);
            assert_true(scene_wakes(&scene, THREE));
        }
        assert_int_not_equal(look(&other), FLIGHT_RUNNING);
    }
}

/* ---- waiters ---- */

static void who_marks_itself_too_late_does_not_wait(void **state)
{
    (void)state;
    struct flight_ticket mine = join(KEY);
    struct actor waiter = actor_paused_at(&scene, FAULT_flight_met, 1, ONE, wait_for_flight, 0);
    finish(&scene, &mine, ME, FLIGHT_VALUE, 0);
    actor_ends(&scene, &waiter);
    assert_int_equal(actor_said(&scene), SAYS_OWNER);
}

static void who_has_marked_itself_is_woken_or_looks_again(void **state)
{
    (void)state;
    struct flight_ticket mine = join(KEY);
    struct actor waiter = actor_paused_at(&scene, FAULT_flight_marked, 1, ONE, wait_for_flight, 0);
    finish(&scene, &mine, ME, FLIGHT_VALUE, 0);
    assert_true(scene_wakes(&scene, ONE));
    actor_ends(&scene, &waiter);
    assert_int_equal(actor_said(&scene), SAYS_OWNER);
}

static void the_dead_are_not_woken(void **state)
{
    (void)state;
    struct flight_ticket mine = join(KEY);
    fault_plan(FAULT_flight_marked, FAULT_KILL, ONE, 1);
    struct actor waiter = actor_enter(&scene, ONE, wait_for_flight, 0);
    actor_dies(&scene, &waiter);
    scene_forget_wakes(&scene, ONE);
    finish(&scene, &mine, ME, FLIGHT_VALUE, 0);
    assert_false(scene_wakes(&scene, ONE));
}

/* ---- ends ---- */

static void who_joins_between_the_end_and_the_waking_flies_anew(void **state)
{
    (void)state;
    fault_plan(FAULT_flight_running, FAULT_PAUSE, ONE, 1);
    struct actor owner = actor_enter(&scene, ONE, fly, FLIGHT_VALUE);
    actor_wait_paused(&owner);
    struct flight_ticket old = join_as(&scene, KEY, THREE, true);
    fault_plan(FAULT_flight_ended, FAULT_PAUSE, ONE, 1);
    fault_release();
    actor_wait_paused(&owner);
    assert_int_equal(look(&old), FLIGHT_HAS_VALUE);
    struct flight_ticket t = join(KEY);
    assert_int_equal(t.role, FLIGHT_OWNER);
    actor_ends(&scene, &owner);
    assert_true(scene_wakes(&scene, THREE));
    assert_int_equal(look(&t), FLIGHT_RUNNING);
    finish(&scene, &t, ME, FLIGHT_VALUE, 0);
    assert_int_equal(look(&t), FLIGHT_HAS_VALUE);
}

/* Who shares a failure sees by its ticket that it says nothing about what came after an invalidation. */
static void a_failure_is_no_younger_than_its_flight(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flying); i++) {
        struct actor owner = actor_paused_at(&scene, flying[i], 1, ONE, fly, FLIGHT_ERROR);
        struct flight_ticket t = join(KEY);
        assert_true(tags_valid(scene.tags, t.born_seq, &TAG, 1));
        drop_tag();
        actor_ends(&scene, &owner);
        assert_int_equal(look(&t), FLIGHT_HAS_FAILED);
        /* Who has only claimed it was born after the invalidation. */
        assert_int_equal(tags_valid(scene.tags, t.born_seq, &TAG, 1), flying[i] == FAULT_flight_claimed);
    }
}

/* An owner stops before its flight runs; an invalidation comes; who joins then does not know how old the flight is. */
static void who_joined_before_the_flight_ran_learns_its_birth_with_its_failure(void **state)
{
    (void)state;
    struct actor owner = actor_paused_at(&scene, FAULT_flight_told, 1, ONE, fly, FLIGHT_ERROR);
    drop_tag();
    struct flight_ticket t = join(KEY);
    assert_int_equal(t.role, FLIGHT_WAITER);
    actor_ends(&scene, &owner);
    assert_int_equal(look(&t), FLIGHT_HAS_FAILED);
    assert_false(tags_valid(scene.tags, t.born_seq, &TAG, 1));
}

/* ---- deaths ---- */

static void wherever_an_owner_dies_all_waiters_get_on(void **state)
{
    (void)state;
    const enum fault_point points[] = {FAULT_flight_claimed, FAULT_flight_told, FAULT_flight_running,
                                       FAULT_flight_ended, FAULT_flight_woken};
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        enum fault_point before = points[i] < FAULT_flight_running ? points[i] : FAULT_flight_running;
        struct actor owner = actor_paused_at(&scene, before, 1, ONE, fly, FLIGHT_VALUE);
        struct flight_ticket mine = join(KEY), other = join_as(&scene, KEY, THREE, true);
        if (points[i] == before) {
            actor_is_killed(&scene, &owner);
        } else {
            fault_plan(points[i], FAULT_KILL, ONE, 1);
            fault_release();
            actor_dies(&scene, &owner);
        }
        assert_gets_on(&mine, ME);
        assert_gets_on(&other, THREE);
        mine = join(KEY);
        assert_int_equal(mine.role, FLIGHT_OWNER);
        finish(&scene, &mine, ME, FLIGHT_NONE, 0);
        scene_forget_wakes(&scene, THREE);
    }
}

/* ---- invalidations ---- */

static void invalidate(struct scene *s, int row, int key)
{
    (void)row;
    const uint32_t slots[] = {value_tag(key), value_group(key)};
    tags_raise(s->tags, slots, 2);
}

static void what_was_born_before_a_number_is_gone_when_it_is_raised(void **state)
{
    (void)state;
    uint64_t before = tags_now(scene.tags);
    struct actor writer = actor_paused_at(&scene, FAULT_tags_numbered, 1, ONE, invalidate, THING);
    assert_true(scene_put_born(&scene, THING, OLD, before));
    assert_int_equal(scene_get(&scene, THING), OLD); /* nothing is acknowledged yet */
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, THING), 0);
    scene_put_born(&scene, THING, OLD, before);
    assert_int_equal(scene_get(&scene, THING), 0);
}

static void what_was_born_after_a_number_stays_when_it_is_raised(void **state)
{
    (void)state;
    struct actor writer = actor_paused_at(&scene, FAULT_tags_numbered, 1, ONE, invalidate, THING);
    assert_true(scene_put(&scene, THING, NEW));
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, THING), NEW);
}

static void of_two_invalidations_the_later_number_stays(void **state)
{
    (void)state;
    struct actor writer = actor_paused_at(&scene, FAULT_tags_numbered, 1, ONE, invalidate, THING);
    assert_true(scene_put(&scene, THING, OLD)); /* born between the two */
    scene_invalidate(&scene, THING);
    assert_int_equal(scene_get(&scene, THING), 0);
    scene_put_born(&scene, THING, OLD, tags_now(scene.tags) - 1);
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, THING), 0);
}

static void what_a_group_has_reached_goes_with_its_tag(void **state)
{
    (void)state;
    scene_put(&scene, THING, OLD);
    struct actor writer = actor_paused_at(&scene, FAULT_tags_grouped, 1, ONE, invalidate, THING);
    assert_int_equal(scene_get(&scene, THING), OLD); /* nothing is acknowledged yet */
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, THING), 0);
}

static void of_two_tags_each_drops_what_it_has_reached(void **state)
{
    (void)state;
    enum { COUSIN = THING + 8 }; /* of the same group */
    assert_int_equal(value_group(THING), value_group(COUSIN));
    scene_put(&scene, THING, OLD);
    scene_put(&scene, COUSIN, OLD);
    struct actor writer = actor_paused_at(&scene, FAULT_tags_raised, 1, ONE, invalidate, THING);
    assert_int_equal(scene_get(&scene, THING), 0);
    assert_int_equal(scene_get(&scene, COUSIN), OLD);
    actor_ends(&scene, &writer);
    assert_int_equal(scene_get(&scene, COUSIN), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_scene(who_joins_waits_and_is_woken),
        in_scene(another_key_flies_alone_or_waits_and_learns_nothing),
        in_scene(who_must_not_wait_does_not),
        in_scene(a_doomed_flight_is_flown_anew_and_wakes_all),
        in_scene(who_has_not_told_its_key_yet_keeps_its_flight),
        in_scene(a_flight_is_taken_over_when_it_runs_and_wakes_all),
        in_scene(who_marks_itself_too_late_does_not_wait),
        in_scene(who_has_marked_itself_is_woken_or_looks_again),
        in_scene(the_dead_are_not_woken),
        in_scene(who_joins_between_the_end_and_the_waking_flies_anew),
        in_scene(a_failure_is_no_younger_than_its_flight),
        in_scene(who_joined_before_the_flight_ran_learns_its_birth_with_its_failure),
        in_scene(wherever_an_owner_dies_all_waiters_get_on),
        in_scene(what_was_born_before_a_number_is_gone_when_it_is_raised),
        in_scene(what_was_born_after_a_number_stays_when_it_is_raised),
        in_scene(of_two_invalidations_the_later_number_stays),
        in_scene(what_a_group_has_reached_goes_with_its_tag),
        in_scene(of_two_tags_each_drops_what_it_has_reached),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
