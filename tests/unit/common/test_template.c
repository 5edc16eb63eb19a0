#include "common/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void parts_are(const char *template, const char *const (*want)[2], int count)
{
    struct template_part part = {0};
    for (int i = 0; i < count; i++) {
        assert_true(template_next(&template, &part));
        assert_true(slice_is(part.text, want[i][0]));
        assert_true(slice_is(part.name, want[i][1]));
    }
    assert_false(template_next(&template, &part));
}

static void names_stand_between_texts(void **state)
{
    (void)state;
    parts_are("/v1/{ip}?lang={lang}", (const char *const[][2]){{"/v1/", "ip"}, {"?lang=", "lang"}}, 2);
    parts_are("{a}{b}c", (const char *const[][2]){{"", "a"}, {"", "b"}, {"c", ""}}, 3);
    parts_are("users", (const char *const[][2]){{"users", ""}}, 1);
    parts_are("", NULL, 0);
}

static void a_brace_alone_is_text(void **state)
{
    (void)state;
    parts_are("a{b", (const char *const[][2]){{"a{b", ""}}, 1);
    parts_are("a}b{c}", (const char *const[][2]){{"a}b", "c"}}, 1);
}

static void a_name_is_found_whole(void **state)
{
    (void)state;
    assert_true(template_has("/users/{id}/posts/{post}", "post"));
    assert_false(template_has("/users/{id}/posts/{post}", "pos"));
    assert_false(template_has("/users/id", "id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stand_between_texts),
        cmocka_unit_test(a_brace_alone_is_text),
        cmocka_unit_test(a_name_is_found_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
