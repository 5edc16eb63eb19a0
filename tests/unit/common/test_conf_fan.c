#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/conf_fixture.h"

#define USERS                                                                                                          \
    "database { url postgresql:///x; }\n"                                                                              \
    "route GET /users/{id} { query 'SELECT :id'; cache tags=user:{id},users; }\n"                                      \
    "route GET /users/{id}/posts { query 'SELECT :id, :limit'; cache tags=posts:{id}; }\n"                             \
    "route GET /users/me { query 'SELECT 1'; }\n"                                                                      \
    "route POST /only { query 'SELECT 1'; }\n"
#define FAN_OF(parts) USERS "route GET /a/{id} { fan { " parts " } }"
/* The block of /a/{id}: its first byte is 6:19. */
#define FAN(block) USERS "route GET /a/{id} { " block " }"

static const struct conf_route *last(const struct conf *conf)
{
    return &conf->routes[conf->route_count - 1];
}

static void same_when_printed(const struct conf *conf)
{
    char *text = print(conf);
    struct conf *again = load(text);
    assert_int_equal(again->route_count, conf->route_count);
    for (int i = 0; i < conf->route_count; i++)
        assert_int_equal(again->routes[i].version, conf->routes[i].version);
    free(text);
    conf_destroy(&again);
}

static void a_fan_has_its_parts(void **state)
{
    (void)state;
    struct conf *conf =
        load(FAN("fan concurrency=3 max_answer=2MB { u /users/{id}; p /users/{id}/posts?limit={n}&x=1 optional; }"
                 " cache ttl=9s tags=a; param n max=5;"));
    const struct conf_route *r = last(conf);
    assert_int_equal(r->from, FROM_FAN);
    assert_int_equal(r->part_count, 2);
    assert_string_equal(r->parts[1].name, "p");
    assert_string_equal(r->parts[1].target, "/users/{id}/posts?limit={n}&x=1");
    assert_true(!r->parts[0].optional && r->parts[1].optional);
    assert_int_equal(r->parts[0].route, 0);
    assert_int_equal(r->parts[1].route, 1);
    assert_int_equal(r->templates.count, 2);
    assert_int_equal(r->concurrency, 3);
    assert_int_equal(r->max_answer_bytes, 2 << 20);
    assert_true(r->cached);
    char *text = print(conf);
    assert_non_null(strstr(text, "    fan concurrency=3 max_answer=2MB {\n        u /users/{id};\n"
                                 "        p /users/{id}/posts?limit={n}&x=1 optional;\n    }\n"));
    assert_null(strstr(strstr(text, "route GET /a"), "query"));
    free(text);
    same_when_printed(conf);
    conf_destroy(&conf);
}

/* As the router does: a literal segment before a parameter, and what a parameter stands for is not known. */
static void a_part_is_answered_by_the_route_that_fits_best(void **state)
{
    (void)state;
    struct conf *conf = load(FAN_OF("me /users/me; seven /users/7; one /users/{id};"));
    assert_int_equal(last(conf)->parts[0].route, 2);
    assert_int_equal(last(conf)->parts[1].route, 0);
    assert_int_equal(last(conf)->parts[2].route, 0);
    conf_destroy(&conf);
}

static void fans_that_cannot_be_are_refused(void **state)
{
    (void)state;
    is_refused(FAN("fan { }"), "6:21", "a fan needs a part");
    is_refused(FAN("fan;"), "6:21", "needs a block");
    is_refused(FAN("fan concurency=3 { u /users/{id}; }"), "6:25", "did you mean \"concurrency\"");
    is_refused(FAN("fan concurrency=0 { u /users/{id}; }"), "6:37", "out of bounds");
    is_refused(FAN("sql x.sql; fan { u /users/{id}; }"), "6:25", "x.sql");
    is_refused(FAN("query 'SELECT 1'; fan { u /users/{id}; }"), "6:21", "query is for routes with SQL");
    is_refused(FAN("fan { u /users/{id}; } result row;"), "6:44", "result is for routes with SQL");
    is_refused(USERS "route POST /a/{id} { fan { u /users/{id}; } }", "6:22", "only a GET is answered by a fan");
    is_refused(FAN_OF("u-1 /users/{id};"), "6:27", "is no part's name");
    is_refused(FAN_OF("u /users/{id}; u /users/1;"), "6:42", "the part u is given twice; first at");
    is_refused(FAN_OF("u;"), "6:27", "NAME PATH");
    is_refused(FAN_OF("u /users/{id} maybe;"), "6:27", "NAME PATH");
    is_refused(FAN_OF("u /users/{id}"), "6:27", "has no ; at its end");
    is_refused(USERS "route GET /a/{id} { fan { u /users/{id};", "6:21", "never closed");
    is_refused(FAN_OF("u users/1;"), "6:29", "does not begin with /");
    is_refused(FAN_OF("u /users/x{id};"), "6:29", "only as a whole segment");
    is_refused(FAN_OF("u /users/1?;"), "6:29", "not NAME=VALUE");
    is_refused(FAN_OF("u /users/1?a;"), "6:29", "not NAME=VALUE");
    is_refused(FAN_OF("u /users/1?a=1&;"), "6:29", "not NAME=VALUE");
    is_refused(FAN_OF("u /users/1?{id}=1;"), "6:29", "only in the path and in values");
    is_refused(FAN_OF("u /users/1?a={id;"), "6:29", "as {name}");
    is_refused(FAN_OF("u /users/1?a=b#c;"), "6:29", "does not have");
    is_refused(FAN_OF("u /nobody/{id};"), "6:29", "no GET route answers /nobody/{id}");
    is_refused(FAN_OF("u /only;"), "6:29", "no GET route answers /only");
    is_refused(FAN_OF("u /users/{who};"), "6:29", "{who} may be absent, and a path needs it");
    is_refused(FAN("fan { u /users/{who}; } param who max_length=3;"), "6:29", "{who} may be absent");
}

static void a_parameter_of_a_path_is_there_by_default_or_required(void **state)
{
    (void)state;
    struct conf *conf = load(FAN("fan { u /users/{who}; v /users/{id}; } param who default=1;"));
    conf_destroy(&conf);
    conf = load(FAN("fan { u /users/{who}; v /users/{id}; } param who required;"));
    conf_destroy(&conf);
}

static void a_fan_has_32_parts_at_most(void **state)
{
    (void)state;
    for (int parts = 32; parts <= 33; parts++) {
        char text[2000];
        int len = sprintf(text, "%s", USERS "route GET /a {\nfan {\n");
        for (int i = 0; i < parts; i++)
            len += sprintf(text + len, "p%d /users/%d;\n", i, i);
        sprintf(text + len, "} }");
        if (parts > 32) {
            is_refused(text, "40:1", "32 parts at most");
        } else {
            struct conf *conf = load(text);
            conf_destroy(&conf);
        }
    }
}

#define TO(from, to) "route GET /" from " { fan { u /" to "; } }\n"

static void fans_of_fans_end_somewhere(void **state)
{
    (void)state;
    is_refused(USERS TO("a", "a"), "6:24", "the part u leads back to the fan GET /a");
    is_refused(USERS TO("a", "b") TO("b", "c") TO("c", "a"), "8:24", "leads back to the fan GET /a");
    is_refused(USERS TO("z", "a") TO("a", "b") TO("b", "a"), "8:24", "leads back to the fan GET /a");
    is_refused(USERS TO("a", "b") TO("b", "c") TO("c", "d") TO("d", "users/1"), "8:24", "3 deep at most");
    struct conf *conf = load(USERS TO("a", "b") TO("b", "c") TO("c", "users/1"));
    same_when_printed(conf);
    conf_destroy(&conf);
}

/* user:{id} and users of one, posts:{id} of the other. */
static void a_cached_fan_has_eight_tags_at_most(void **state)
{
    (void)state;
    struct conf *conf = load(FAN("fan { a /users/1; b /users/2; c /users/3; d /users/1/posts; } cache tags=x,y,z;"));
    conf_destroy(&conf);
    conf = load(
        FAN("fan { a /users/1; b /users/2; c /users/3; d /users/1/posts; e /users/2/posts; f /users/4; g /users/5; }"));
    conf_destroy(&conf);
    is_refused(FAN("fan { a /users/1; b /users/2; c /users/3; d /users/1/posts; } cache tags=w,x,y,z;"), "6:1",
               "more than 8 tags");
    is_refused(USERS "route GET /a { fan { a /users/1; b /users/2; c /users/3; d /users/4; } cache; }\n"
                     "route GET /b { fan { a /a; } cache tags=x,y,z,w; }",
               "7:1", "more than 8 tags");
}

static uint64_t version_of(const char *text)
{
    struct conf *conf = load(text);
    uint64_t version = last(conf)->version;
    conf_destroy(&conf);
    return version;
}

static void a_part_is_part_of_the_version(void **state)
{
    (void)state;
    uint64_t version = version_of(USERS TO("b", "users/1") TO("c", "b"));
    assert_int_equal(version, version_of("\n" USERS TO("b", "users/1") TO("c", "b")));
    assert_int_not_equal(version, version_of(USERS TO("b", "users/2") TO("c", "b")));
    assert_int_not_equal(
        version, version_of("database { url postgresql:///x; }\n"
                            "route GET /users/{id} { query 'SELECT :id + 1'; cache tags=user:{id},users; }\n" TO(
                                "b", "users/1") TO("c", "b")));
    assert_int_not_equal(version_of(FAN_OF("u /users/{id};")), version_of(FAN_OF("u /users/{id} optional;")));
    assert_int_not_equal(version_of(FAN_OF("u /users/{id};")), version_of(FAN_OF("v /users/{id};")));
}

static void a_batch_has_bounds(void **state)
{
    (void)state;
    struct conf *conf = load("batch /batch { }\nbatch /b { concurrency 1; max_items 7; max_answer 1MB; }");
    const struct conf_route *r = conf->routes;
    assert_true(r[0].from == FROM_BATCH && r[0].method == METHOD_POST);
    assert_true(r[0].concurrency == 10 && r[0].max_items == 100 && r[0].max_answer_bytes == 16 << 20);
    assert_true(r[1].concurrency == 1 && r[1].max_items == 7 && r[1].max_answer_bytes == 1 << 20);
    char *text = print(conf);
    assert_non_null(
        strstr(text, "\nbatch /b {\n    concurrency 1;\n    max_items 7;\n    max_answer 1MB;\n    compress on;\n}\n"));
    free(text);
    same_when_printed(conf);
    conf_destroy(&conf);
}

static void batches_that_cannot_be_are_refused(void **state)
{
    (void)state;
    is_refused("batch /b;", "1:1", "needs a block");
    is_refused("batch /b { concurrency 101; }", "1:24", "out of bounds");
    is_refused("batch /b { max_items 1001; }", "1:22", "out of bounds");
    is_refused("batch /b { max_item 10; }", "1:12", "did you mean \"max_items\"");
    is_refused("batch b { }", "1:7", "does not begin with /");
    is_refused("batch /b/{id} { }", "1:7", "has no parameters");
    is_refused("batch /b { }\nbatch /b { }", "2:7", "is given already");
    is_refused(USERS "batch /only { }", "6:7", "is given already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fan_has_its_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_is_answered_by_the_route_that_fits_best, setup, teardown),
        cmocka_unit_test_setup_teardown(fans_that_cannot_be_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_parameter_of_a_path_is_there_by_default_or_required, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fan_has_32_parts_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(fans_of_fans_end_somewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cached_fan_has_eight_tags_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_is_part_of_the_version, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_has_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(batches_that_cannot_be_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
