#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/ctl/words.h"
#include "shm/doing.h"

#include <string.h>

static struct snapshot *make_snapshot(void)
{
    struct snapshot *s = snapshot_create(1, 2, stat_lists);
    s->at_us = 100 * US_PER_S;
    strcpy(s->names[1], "GET /x");
    return s;
}

static void set(struct snapshot *s, enum metric stat, int64_t value)
{
    s->values[(0 - STATS_KEEPER) * STAT_COUNT + (int)stat] = value;
}

static void a_loop_turns_unless_it_is_told_or_silent(void **state)
{
    (void)state;
    char text[WORDS_LOOP_BYTES];
    struct snapshot *s = make_snapshot();
    assert_true(words_loop(s, 0, text)); /* it has just been started */
    set(s, STAT_beat_us, 98 * US_PER_S);
    assert_true(words_loop(s, 0, text));
    assert_string_equal(text, "turns");
    set(s, STAT_beat_us, 96 * US_PER_S);
    assert_false(words_loop(s, 0, text));
    assert_string_equal(text, "no heartbeat for 4.0 s");
    set(s, STAT_loop_stuck_us, 1500000);
    set(s, STAT_loop_stuck_at, DOING_hit | 1 << DOING_ROUTE_SHIFT);
    assert_false(words_loop(s, 0, text));
    assert_int_equal(strncmp(text, "stuck for 1.50 s: ", 18), 0);
    assert_non_null(strstr(text, ", GET /x"));
    set(s, STAT_loop_stuck_at, DOING_hit | 2 << DOING_ROUTE_SHIFT); /* a row that there is not */
    size_t whole = strlen(text);
    assert_false(words_loop(s, 0, text));
    assert_int_equal(strlen(text), whole - strlen(", GET /x"));
    snapshot_destroy(&s);
}

static void what_is_not_known_has_a_name(void **state)
{
    (void)state;
    const struct event event = {.kind = EVENT_KINDS, .slot = EVENT_NO_SLOT}, keeper = {.slot = STATS_KEEPER};
    assert_string_equal(words_state(-1), "?");
    assert_string_equal(words_state(1000), "?");
    assert_string_equal(words_memory_level(1000), "?");
    assert_string_equal(words_event(&event), "?");
    assert_string_equal(words_event_slot(&event).s, "-");
    assert_string_equal(words_event_slot(&keeper).s, "keeper");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_turns_unless_it_is_told_or_silent),
        cmocka_unit_test(what_is_not_known_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
