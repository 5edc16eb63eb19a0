#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"
#include "master/ctl/log/query.h"
#include "tests/unit/arena_fixture.h"

#define LINE                                                                                                           \
    "{\"time\":\"2026-11-29T17:40:05.000042Z\",\"method\":\"GET\",\"target\":\"/a?b=1\",\"status\":503,\"bytes\":0,"   \
    "\"cut\":true,\"duration_us\":200500,\"route\":\"GET /x/{id}\",\"new\":[1],\"cache\":\"MISS\"}"

static bool matches(const char *query)
{
    struct query_error error;
    struct line line;
    const struct log_query *q = log_query_parse(slice_str(query), arena, &error);
    if (q == NULL)
        fail_msg("%s: %zu: %s", query, error.offset, error.what);
    assert_true(line_read(SLICE(LINE), arena, &line));
    return log_query_matches(q, &line);
}

static void lines_are_found(void **state)
{
    (void)state;
    static const char *const found[] = {"",
                                        "  ",
                                        "status=503",
                                        "status>=5.03e2 and bytes=0",
                                        "ms>200 and ms<201 and duration_us=200500",
                                        "route=\"GET /x/*\" and ms>200 and status>=500",
                                        "route ~ \"* /x/{??}\"",
                                        "cut=true",
                                        "cache!=HIT AND NOT cache = HIT",
                                        "time>=2026-11-29T17:40 and time<2026-11-29T17:41",
                                        "status=1 and status=2 or status=503",
                                        "status=503 or status=1 and status=2",
                                        "not(status=1 or status=2)",
                                        "not not status=503",
                                        "not status=503 or status=503",
                                        "cache<MISSED and cache<=MISS and cache>MIS and cache>=MISS",
                                        "sqlstate!=22012",
                                        "((status>502))",
                                        "route!=\"GET \\\"x\\\\\""};
    static const char *const not_found[] = {"status!=503",    "status<503",         "status>503",
                                            "sqlstate=22012", "sqlstate~*",         "not status=503 and status=1",
                                            "not status=503", "route=\"GET /X/*\"", "cache=MIS",
                                            "cache=MISSED",   "cache~MIS",          "cache~?MISS",
                                            "cache<MISS",     "cache>MISS",         "wait_us<=0",
                                            "target=*c"};
    for (size_t i = 0; i < ARRAY_LEN(found); i++)
        if (!matches(found[i]))
            fail_msg("not found: %s", found[i]);
    for (size_t i = 0; i < ARRAY_LEN(not_found); i++)
        if (matches(not_found[i]))
            fail_msg("found: %s", not_found[i]);
}

/* What stands side by side does not nest. */
static void a_query_may_be_long(void **state)
{
    struct buf text = {0};
    (void)state;
    for (int i = 0; i < 2 * QUERY_DEPTH_MAX; i++)
        buf_adds(&text, "(status=1) or ");
    buf_adds(&text, "status=503");
    assert_true(matches(arena_str(arena, buf_slice(&text))));
    buf_deinit(&text);
}

static void is_refused(const char *query, size_t offset, const char *word)
{
    struct query_error error;
    assert_null(log_query_parse(slice_str(query), arena, &error));
    if (error.offset != offset || strstr(error.what, word) == NULL)
        fail_msg("%s: %zu: %s", query, error.offset, error.what);
}

static void mistakes_are_told_at_their_byte(void **state)
{
    (void)state;
    is_refused("statsu=1", 0, "no field");
    is_refused("status=500 and", 14, "a field");
    is_refused("status=500 nad ms>1", 11, "and or or");
    is_refused("status 500", 7, "one of");
    is_refused("status=", 7, "missing");
    is_refused("status=abc", 7, "number");
    is_refused("status~5*", 7, "~");
    is_refused("route=\"GET", 6, "quote");
    is_refused("(status=1", 0, "bracket");
    is_refused("(status=1 ms", 10, "expected");
    is_refused("status=1)", 8, "expected");
    char deep[200] = "";
    memset(deep, '(', 100);
    is_refused(deep, QUERY_DEPTH_MAX, "deep");
}

static void lines_that_are_damaged_are_seen(void **state)
{
    (void)state;
    static const char *const damaged[] = {"",
                                          "nonsense",
                                          "{\"status\":503",
                                          "{\"status\":\"503\"}",
                                          "{\"route\":7}",
                                          "{\"bytes\":1,\"bytes\":2}",
                                          "{\"target\":\"\xff\"}",
                                          "{} {}"};
    struct line line;
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
        if (line_read(slice_str(damaged[i]), arena, &line))
            fail_msg("good: %s", damaged[i]);
    assert_true(line_read(SLICE("{\"status\":1, \"ms\":\"another's\"}"), arena, &line));
    assert_true(line.values[LINE_status].known && !line.values[LINE_ms].known);
}

static void patterns_take_no_longer_than_they_must(void **state)
{
    (void)state;
    char text[3001], pattern[61];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i < sizeof pattern - 1; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[60] = '\0';
    assert_true(log_query_glob(slice_str(pattern), slice_str(text), true));
    pattern[59] = 'b';
    assert_false(log_query_glob(slice_str(pattern), slice_str(text), true));
    assert_true(log_query_glob(SLICE("**"), SLICE(""), true) && !log_query_glob(SLICE("?"), SLICE(""), true));
    assert_true(log_query_glob(SLICE("?"), SLICE("?"), false) && !log_query_glob(SLICE("?"), SLICE("x"), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_may_be_long, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_told_at_their_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_are_damaged_are_seen, setup, teardown),
        cmocka_unit_test(patterns_take_no_longer_than_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
