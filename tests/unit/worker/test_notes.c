#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/arena_fixture.h"
#include "worker/notes.h"

#define DAY_US (INT64_C(86400) * US_PER_S)

static void what_was_noted_is_read(void **state)
{
    (void)state;
    const struct notes in = {.varies_by = 5,
                             .shareable = true,
                             .age_us = 1,
                             .stale_us = INT64_MAX,
                             .stale_if_error_us = 3,
                             .fields = SLICE("ETag: \"a\"\r\n")};
    struct notes out;
    notes_read(notes_write(&in, arena), &out);
    assert_int_equal(out.varies_by, 5);
    assert_true(out.shareable && out.age_us == 1 && out.stale_us == INT64_MAX && out.stale_if_error_us == 3);
    assert_true(slice_eq(out.fields, in.fields));
}

static void without_notes_nothing_may_be_shared(void **state)
{
    (void)state;
    static const struct notes none = {0};
    struct notes out = {.shareable = true, .stale_us = 1};
    notes_read(slice_of(NULL, 0), &out);
    assert_memory_equal(&out, &none, sizeof none);
    out.shareable = true;
    notes_read(SLICE("short"), &out);
    assert_memory_equal(&out, &none, sizeof none);
}

static void an_answer_is_kept_as_long_as_it_is_of_use(void **state)
{
    (void)state;
    assert_int_equal(notes_keep_us(&(struct notes){0}), 0);
    assert_int_equal(notes_keep_us(&(struct notes){.stale_us = 7, .stale_if_error_us = 3}), 7);
    assert_int_equal(notes_keep_us(&(struct notes){.stale_us = 3, .stale_if_error_us = 7}), 7);
    assert_int_equal(notes_keep_us(&(struct notes){.fields = SLICE("etag: \"a\"\r\n")}), DAY_US);
    assert_int_equal(notes_keep_us(&(struct notes){.fields = SLICE("Last-Modified: then\r\n")}), DAY_US);
    assert_int_equal(notes_keep_us(&(struct notes){.fields = SLICE("Vary: Accept\r\n"), .stale_us = 2}), 2);
    assert_int_equal(notes_keep_us(&(struct notes){.fields = SLICE("ETag: a\r\n"), .stale_us = 2 * DAY_US}),
                     2 * DAY_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_noted_is_read, setup, teardown),
        cmocka_unit_test(without_notes_nothing_may_be_shared),
        cmocka_unit_test(an_answer_is_kept_as_long_as_it_is_of_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
