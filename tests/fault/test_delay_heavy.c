/* Processes stopped on the way into one entry of a summary of what comes most, while others come to the same one. */
#include "shm/heavy.h"
#include "tests/fault/lib/play.h"

#include <stdio.h>
#include <sys/mman.h>

enum { ME = 0, OFTEN = 100 };

static struct heavy *heavy;

static int set(void **state)
{
    heavy = mmap(NULL, heavy_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return heavy == MAP_FAILED ? 1 : play_set(state);
}

static int strike(void **state)
{
    munmap(heavy, heavy_bytes());
    return play_strike(state);
}

/* A text of each process's own comes `times` times. */
static void come(struct scene *s, int row, int times)
{
    char text[32];
    (void)s;
    snprintf(text, sizeof text, "text of row %d", row);
    heavy_add(heavy, row, row, slice_str(text), (uint64_t)times);
}

/* The count that is told of a row's text, and the floor where it is not there. */
static uint64_t at_most(const struct heavy_summary *s, int row)
{
    char text[32];
    snprintf(text, sizeof text, "text of row %d", row);
    for (int i = 0; i < s->count; i++)
        if (s->items[i].row == row) {
            assert_string_equal(s->items[i].text, text);
            return s->items[i].count;
        }
    return s->floor;
}

static void an_entry_has_one_writer_at_a_time(void **state)
{
    struct heavy_summary found;
    (void)state;
    struct actor late = actor_paused_at(&scene, FAULT_heavy_free, 1, ONE, come, 1);
    struct actor writer = actor_paused_at(&scene, FAULT_heavy_counted, 1, TWO, come, OFTEN);
    actor_freezes(&writer);
    actor_goes_on(&scene, &late);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, 0); /* it is the writer's, and not whole */
    actor_thaws(&writer);
    actor_goes_on(&scene, &writer);
    heavy_read(heavy, &found);
    assert_int_equal(found.total, OFTEN + 1);
    assert_true(at_most(&found, TWO) >= OFTEN);
    come(&scene, ONE, 1);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, 2);
    assert_int_equal(at_most(&found, ONE), 1);
}

/* It has come least often, so whatever is new wants its place. */
static void who_finds_an_entry_taken_leaves_it(void **state)
{
    struct heavy_summary found;
    (void)state;
    for (int row = 10; row < 10 + HEAVY_ENTRIES; row++)
        come(&scene, row, row == 10 ? 1 : 10 * OFTEN);
    struct actor writer = actor_paused_at(&scene, FAULT_heavy_counted, 1, ONE, come, OFTEN);
    come(&scene, TWO, 1);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, HEAVY_ENTRIES - 1);
    actor_goes_on(&scene, &writer);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, HEAVY_ENTRIES);
    assert_int_equal(at_most(&found, ONE), 1 + OFTEN);
    assert_int_equal(at_most(&found, TWO), found.floor);
}

/* What it had counted for the text that it threw out is still below the floor. */
static void who_dies_over_an_entry_leaves_the_bounds_right(void **state)
{
    struct heavy_summary found;
    (void)state;
    for (int row = 10; row < 10 + HEAVY_ENTRIES; row++)
        come(&scene, row, OFTEN);
    struct actor early = actor_paused_at(&scene, FAULT_heavy_free, 1, TWO, come, 1);
    actor_is_killed(&scene, &early);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, HEAVY_ENTRIES);
    struct actor dead = actor_paused_at(&scene, FAULT_heavy_counted, 1, ONE, come, 1);
    actor_is_killed(&scene, &dead);
    heavy_read(heavy, &found);
    assert_int_equal(found.count, HEAVY_ENTRIES - 1);
    for (int row = 10; row < 10 + HEAVY_ENTRIES; row++)
        assert_true(at_most(&found, row) >= OFTEN);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_has_one_writer_at_a_time, set, strike),
        cmocka_unit_test_setup_teardown(who_finds_an_entry_taken_leaves_it, set, strike),
        cmocka_unit_test_setup_teardown(who_dies_over_an_entry_leaves_the_bounds_right, set, strike),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
