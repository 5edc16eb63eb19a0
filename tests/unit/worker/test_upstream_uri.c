#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shm/tags.h"
#include "worker/upstream_uri.h"

static const struct conf_upstream plain = {.origin = "http://api.example:9000", .base = ""};
static const struct conf_upstream based = {.origin = "http://API.example:80", .base = "/base/v1"};

static uint32_t tag(const char *uri)
{
    return tags_slot(slice_str(uri));
}

static void a_target_is_known_by_its_whole_uri(void **state)
{
    (void)state;
    assert_int_equal(upstream_uri_slot(&plain, SLICE("/a?b=c")), tag("http://api.example:9000/a?b=c"));
    assert_int_equal(upstream_uri_slot(&based, SLICE("/a")), tag("http://api.example/base/v1/a"));
}

static void references_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *path; /* NULL: of another origin */
    } rows[] = {
        {"/x", "/x"},
        {"/x?q=1", "/x?q=1"},
        {"/x#part", "/x"},
        {"", "/a/b?q"},
        {"#part", "/a/b?q"},
        {"?r", "/a/b?r"},
        {"c", "/a/c"},
        {"c?r", "/a/c?r"},
        {"c/", "/a/c/"},
        {"./c", "/a/c"},
        {"../c", "/c"},
        {"../../c", "/c"},
        {".", "/a/"},
        {"..", "/"},
        {"/x/../y/./z", "/y/z"},
        {"/x/..", "/"},
        {"http://api.example:9000/x", "/x"},
        {"HTTP://API.Example:9000/x?q", "/x?q"},
        {"http://api.example:9000", "/"},
        {"http://api.example:9000?q", "/?q"},
        {"http://api.example:9000/x/../y", "/y"},
        {"//api.example:9000/x", "/x"},
        {"c:d", NULL},
        {"./c:d", "/a/c:d"},
        {"http://api.example/x", NULL},
        {"http://api.example:9001/x", NULL},
        {"https://api.example:9000/x", NULL},
        {"http://other.example:9000/x", NULL},
        {"//other.example/x", NULL},
        {"mailto:a@b", NULL},
        {"http:/x", NULL},
        {"http://api.example:9000@other.example/x", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t slot;
        char uri[100] = "http://api.example:9000";
        bool ours = upstream_uri_slot_of(&plain, SLICE("/a/b?q"), slice_str(rows[i].reference), &slot);
        if (ours != (rows[i].path != NULL) || (ours && slot != tag(strcat(uri, rows[i].path))))
            fail_msg("%s", rows[i].reference);
    }
}

static void the_ports_that_are_the_schemes_own_need_not_be_said(void **state)
{
    (void)state;
    static const struct conf_upstream secure = {.origin = "https://api.example", .base = ""};
    uint32_t slot;
    assert_true(upstream_uri_slot_of(&based, SLICE("/a"), SLICE("http://api.example/x"), &slot));
    assert_int_equal(slot, tag("http://api.example/x"));
    assert_true(upstream_uri_slot_of(&based, SLICE("/a"), SLICE("http://api.example:80/base/v1/a"), &slot));
    assert_int_equal(slot, upstream_uri_slot(&based, SLICE("/a")));
    assert_true(upstream_uri_slot_of(&secure, SLICE("/a"), SLICE("https://api.example:443/x"), &slot));
    assert_int_equal(slot, tag("https://api.example/x"));
    assert_false(upstream_uri_slot_of(&secure, SLICE("/a"), SLICE("https://api.example:80/x"), &slot));
    assert_true(upstream_uri_slot_of(&based, SLICE("/a"), SLICE("b"), &slot));
    assert_int_equal(slot, tag("http://api.example/base/v1/b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_known_by_its_whole_uri),
        cmocka_unit_test(references_are_resolved),
        cmocka_unit_test(the_ports_that_are_the_schemes_own_need_not_be_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
