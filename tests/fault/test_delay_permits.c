/* Processes stopped on the way to a permit or back, while others take, give, wait and die. */
#include "tests/fault/lib/play.h"

enum { ME = 0, ROW = PERMIT_ALL };
enum { SAYS_HAD = 1, SAYS_REFUSED = 2 };

static void limit(int max)
{
    const int row = ROW;
    permits_limit(scene.shared.permits, &row, &max, 1);
}

static bool take_as(struct scene *s, int row)
{
    return permits_take(s->shared.permits, ROW, row, 2000000);
}

static void give_as(struct scene *s, int row)
{
    permits_give(s->shared.permits, ROW, row, s->shared.wake_fd);
}

static int64_t in_use(void)
{
    return permits_in_use(scene.shared.permits, ROW);
}

/* ---- parts ---- */

static void take_and_wait(struct scene *s, int row, int unused)
{
    (void)unused;
    actor_says(s, take_as(s, row) ? SAYS_HAD : SAYS_REFUSED);
    actor_waits(s);
}

static void take_and_give(struct scene *s, int row, int unused)
{
    (void)unused;
    if (!take_as(s, row))
        return;
    actor_says(s, SAYS_HAD);
    give_as(s, row);
}

static void await(struct scene *s, int row, int unused)
{
    (void)unused;
    permits_wait(s->shared.permits, ROW, row);
    actor_waits(s);
}

static void take_two(struct scene *s, int row, int unused)
{
    (void)unused;
    actor_says(s, take_as(s, row) && take_as(s, row) ? SAYS_HAD : SAYS_REFUSED);
    actor_waits(s);
}

/* ---- */

/* Exactly one of them has the last one. */
static void of_two_who_meet_one_passes(void **state)
{
    static const enum fault_point taking[] = {FAULT_permit_wanted, FAULT_permit_counted, FAULT_permit_summed};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(taking); i++) {
        play_anew(SCENE_ENTRIES);
        limit(1);
        struct actor other = actor_paused_at(&scene, taking[i], 1, ONE, take_and_wait, 0);
        bool mine = take_as(&scene, ME);
        fault_release();
        actor_wait_ready(&scene, &other);
        bool others = actor_said(&scene) == SAYS_HAD;
        assert_int_equal(mine + others, 1);
        assert_int_equal(in_use(), 1);
        actor_ends(&scene, &other);
    }
}

static void who_came_to_wait_before_nobody_was_woken_finds_it(void **state)
{
    (void)state;
    limit(1);
    struct actor giver = actor_paused_at(&scene, FAULT_permit_given, 1, ONE, take_and_give, 0);
    permits_wait(scene.shared.permits, ROW, ME);
    assert_true(take_as(&scene, ME));
    actor_goes_on(&scene, &giver);
}

static void who_came_to_wait_before_it_was_given_is_woken(void **state)
{
    (void)state;
    limit(1);
    assert_true(take_as(&scene, ME));
    struct actor waiter = actor_paused_at(&scene, FAULT_permit_awaited, 1, ONE, await, 0);
    give_as(&scene, ME);
    assert_true(scene_wakes(&scene, ONE));
    actor_ends(&scene, &waiter);
}

/* Wherever it is killed, what it may have counts until its statement is over, and then no more. */
static void the_dead_lose_none_and_give_none_too_early(void **state)
{
    static const enum fault_point dying[] = {FAULT_permit_wanted, FAULT_permit_counted, FAULT_permit_summed,
                                             FAULT_permit_given};
    static const int left[] = {0, 1, 1, 0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dying); i++) {
        play_anew(SCENE_ENTRIES);
        limit(1);
        struct actor dead = actor_paused_at(&scene, dying[i], 1, ONE, take_and_give, 0);
        actor_is_killed(&scene, &dead);
        assert_int_equal(in_use(), left[i]);
        assert_int_equal(take_as(&scene, ME), left[i] == 0);
        if (left[i] == 0)
            give_as(&scene, ME);
        assert_int_equal(shared_settle(&scene.shared, scene.now_us + 3100000), INT64_MAX);
        assert_int_equal(in_use(), 0);
        assert_true(take_as(&scene, ME));
    }
}

/* The next process of the row begins with none, while those of the dead one still count. */
static void a_row_passes_on_clean(void **state)
{
    (void)state;
    limit(3);
    struct actor dead = actor_enter(&scene, ONE, take_two, 0);
    actor_wait_ready(&scene, &dead);
    assert_int_equal(actor_said(&scene), SAYS_HAD);
    actor_is_killed(&scene, &dead);
    assert_int_equal(in_use(), 2);
    assert_true(take_as(&scene, ONE));
    assert_false(take_as(&scene, ONE));
    assert_int_equal(in_use(), 3);
    (void)shared_settle(&scene.shared, scene.now_us + 3100000);
    assert_int_equal(in_use(), 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        in_scene(of_two_who_meet_one_passes),
        in_scene(who_came_to_wait_before_nobody_was_woken_finds_it),
        in_scene(who_came_to_wait_before_it_was_given_is_woken),
        in_scene(the_dead_lose_none_and_give_none_too_early),
        in_scene(a_row_passes_on_clean),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
