#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/arena_fixture.h"
#include "worker/target.h"
#include "worker/target_fill.h"

/* What the template becomes with a, b, c; NULL is null. */
static void becomes(const char *template, const char *a, const char *b, const char *c, const char *target)
{
    const char *text = "{a}{b}{c}";
    const struct query *query = query_of_templates(&(struct conf_strings){&text, 1}, arena);
    const char *texts[] = {a, b, c};
    struct param_value values[3];
    for (int i = 0; i < 3; i++)
        values[i] = (struct param_value){texts[i] == NULL, slice_str(texts[i] ? texts[i] : "")};
    struct slice filled = target_fill(template, query, values, arena);
    if (!slice_is(filled, target))
        fail_msg("%s: " SLICE_FMT " is not %s", template, SLICE_ARG(filled), target);
}

static void values_stand_where_their_names_did(void **state)
{
    (void)state;
    becomes("/x", "1", "2", "3", "/x");
    becomes("/{a}/y/{b}?c={c}&d=4", "1", "2", "3", "/1/y/2?c=3&d=4");
    becomes("/x?r={a}-{b}", "1", "2", "3", "/x?r=1-2");
    becomes("/x?e=", "1", "2", "3", "/x?e=");
    becomes("/{a}?e={b}", "", "", "", "/?e=");
}

static void what_is_null_is_left_out_with_its_name(void **state)
{
    (void)state;
    becomes("/x?a={a}&b={b}&c={c}", NULL, "2", NULL, "/x?b=2");
    becomes("/x?a={a}&b={b}&c={c}", "1", NULL, "3", "/x?a=1&c=3");
    becomes("/x?a={a}", NULL, NULL, NULL, "/x");
    becomes("/x?n=1&r={a}-{b}", "1", NULL, NULL, "/x?n=1");
}

static void nothing_ends_its_place(void **state)
{
    (void)state;
    becomes("/{a}?b={b}", "a/b?c#d%2e", "1&c=2+3 \"", NULL, "/a%2Fb%3Fc%23d%252e?b=1%26c%3D2%2B3%20%22");
    becomes("/{a}", "\xc3\xa9-._~\x01", NULL, NULL, "/%C3%A9-._~%01");
    becomes("/\xc3\xa9/a:b?x=\xc3\xa9", NULL, NULL, NULL, "/%C3%A9/a:b?x=%C3%A9");
}

/* Every byte but NUL comes out of the other end as it went in. */
static void what_is_read_from_it_is_what_was_filled_in(void **state)
{
    (void)state;
    static const char *const name = "/{a}?b={a}";
    const struct query *query = query_of_templates(&(struct conf_strings){(const char **)(uintptr_t)&name, 1}, arena);
    for (unsigned c = 1; c < 0x80; c++) {
        const char text[] = {(char)c, 'x', (char)c, '\0'};
        const struct param_value value = {false, slice_str(text)};
        struct target target;
        assert_null(target_parse(target_fill(name, query, &value, arena), arena, &target));
        assert_true(target.segment_count == 1 && slice_is(target.segments[0], text));
        assert_true(target.pair_count == 1 && slice_is(target.pairs[0].value, text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_stand_where_their_names_did, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_null_is_left_out_with_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_ends_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_read_from_it_is_what_was_filled_in, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
