#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/upstream_target.h"

static const char *names[] = {"a", "b"};
static struct query query = {.names = names, .name_count = 2};
static struct request r;

/* NULL: the request has it not. */
static bool make(const char *template, const char *a, const char *b, struct slice *target_out)
{
    static const char *templates[1];
    static struct conf_route conf;
    static struct route route;
    static struct param_value values[2];
    templates[0] = template;
    conf = (struct conf_route){.from = FROM_UPSTREAM, .templates = {templates, 1}};
    route = (struct route){.conf = &conf, .query = &query};
    values[0] = (struct param_value){.text = slice_str(a), .null = a == NULL};
    values[1] = (struct param_value){.text = slice_str(b), .null = b == NULL};
    r.route = &route;
    r.values = values;
    r.problem = (struct problem){0};
    return upstream_target_make(&r, target_out);
}

static void is(const char *template, const char *a, const char *b, const char *expected)
{
    struct slice target;
    assert_true(make(template, a, b, &target));
    assert_string_equal(target.at, expected);
}

static void refuses(const char *template, const char *a, const char *b, const char *parameter)
{
    struct slice target;
    assert_false(make(template, a, b, &target));
    assert_string_equal(r.problem.errors->parameter, parameter);
}

static void values_are_percent_encoded(void **state)
{
    (void)state;
    is("/v1/{a}", "x", NULL, "/v1/x");
    is("/v1/{a}/y", "a/..b?c#d%2e;e", NULL, "/v1/a%2F..b%3Fc%23d%252e%3Be/y");
    is("/{a}.{b}", "A-z_0~9", "\xc3\xa4 +", "/A-z_0~9.%C3%A4%20%2B");
    is("/x?q={a}", "a&b=c d", NULL, "/x?q=a%26b%3Dc%20d");
    is("/x", NULL, NULL, "/x");
    is("/", NULL, NULL, "/");
    is("/{a}/", "x", NULL, "/x/");
    is("/x", "\r\nX: y", NULL, "/x");
    is("/{a}", "\r\nX: y", NULL, "/%0D%0AX%3A%20y");
}

static void what_would_lead_elsewhere_is_refused(void **state)
{
    (void)state;
    refuses("/v1/{a}", ".", NULL, "a");
    refuses("/v1/{a}/x", "..", NULL, "a");
    refuses("/v1/{a}{b}", ".", ".", "b");
    refuses("/v1/.{a}", ".", NULL, "a");
    refuses("/v1/{a}?q=1", "", NULL, "a");
    refuses("/v1/{a}/{b}", "x", NULL, "b");
    refuses("/v1/{a}", "../b", NULL, "a");
    refuses("/v1/{a}", "b/..", NULL, "a");
    refuses("/v1/{a}", "b/../c", NULL, "a");
    refuses("/v1/{a}", "b\\..\\c", NULL, "a");
    refuses("/v1/{a}{b}", "x/.", "./y", "b");
    refuses("/v1/x%2f{a}", "..", NULL, "a");
    refuses("/v1/x%5C.{a}", ".", NULL, "a");
    refuses("/v1/{a}%2e", ".", NULL, "a");
    is("/v1/{a}", "...", NULL, "/v1/...");
    is("/v1/{a}", ".../..b/.c/d./e..", NULL, "/v1/...%2F..b%2F.c%2Fd.%2Fe..");
    is("/v1/{a}", "%2e%2e%2f", NULL, "/v1/%252e%252e%252f");
    is("/v1?q={a}", "../x", NULL, "/v1?q=..%2Fx");
    is("/v1/{a}x", ".", NULL, "/v1/.x");
    is("/v1?q={a}", "..", NULL, "/v1?q=..");
}

static void absent_parts_of_the_query_are_left_out(void **state)
{
    (void)state;
    is("/x?a={a}&b={b}", NULL, NULL, "/x");
    is("/x?a={a}&b={b}", NULL, "1", "/x?b=1");
    is("/x?a={a}&b={b}", "1", NULL, "/x?a=1");
    is("/x?a={a}&b={b}", "", "2", "/x?a=&b=2");
    is("/x?k=v&a={a}&last", NULL, NULL, "/x?k=v&last");
    is("/x?r={a}-{b}&k=v", "1", NULL, "/x?k=v");
    is("/x?r={a}-{b}&k=v", "1", "2", "/x?r=1-2&k=v");
}

static int setup(void **state)
{
    (void)state;
    r.arena = arena_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_destroy(&r.arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_percent_encoded),
        cmocka_unit_test(what_would_lead_elsewhere_is_refused),
        cmocka_unit_test(absent_parts_of_the_query_are_left_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
