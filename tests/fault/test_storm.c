/* A short storm, and one with delays. `storm` makes longer ones. */
#include "tests/fault/lib/play.h"
#include "tests/fault/lib/storm.h"

static void in_a_storm_all_is_well(void **state)
{
    (void)state;
    const struct storm_options options = {.seconds = 4, .workers = 4, .seed = 7};
    assert_true(storm_run(&options));
}

static void in_a_storm_with_delays_all_is_well(void **state)
{
    (void)state;
    const struct storm_options options = {.seconds = 4, .workers = 4, .seed = 8, .delays = true};
    assert_true(storm_run(&options));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_storm_all_is_well),
        cmocka_unit_test(in_a_storm_with_delays_all_is_well),
    };
    play_choose(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
