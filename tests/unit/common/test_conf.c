#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "common/clock.h"
#include "tests/unit/conf_fixture.h"

/* How many CPUs conf_load() finds, whatever this machine has; 0 is one. */
static int cpus;

int sched_getaffinity(__pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid, (void)size;
    CPU_ZERO(set);
    for (int i = 0; i < MAX(cpus, 1); i++)
        CPU_SET(i, set);
    return 0;
}

static char *read_shipped(size_t *len)
{
    FILE *in = fopen("perfd.conf", "r");
    assert_non_null(in);
    char *text = xcalloc(1, 1 << 16);
    *len = fread(text, 1, (1 << 16) - 1, in);
    fclose(in);
    return text;
}

static void the_shipped_file_has_the_guides_figures(void **state)
{
    (void)state;
    struct err err;
    struct conf *conf = conf_load("perfd.conf", &err);
    assert_non_null(conf);
    assert_int_equal(conf->database.acquire_timeout_us, 3 * US_PER_S);
    assert_int_equal(conf->database.idle_timeout_us, 600 * US_PER_S);
    assert_int_equal(conf->database.max_lifetime_us, 1800 * US_PER_S);
    assert_true(conf->database.pool_min <= conf->database.pool_max);
    assert_int_equal(conf->cache.entries, 10000);
    assert_int_equal(conf->cache.ttl_us, 300 * US_PER_S);
    assert_int_equal(conf->cache.tti_us, 60 * US_PER_S);
    assert_int_equal(conf->upstreams[0].max_idle, 10);
    assert_int_equal(conf->upstreams[0].idle_timeout_us, 90 * US_PER_S);
    assert_int_equal(conf->upstreams[0].timeout_us, 10 * US_PER_S);
    assert_int_equal(conf->route_count, 12);
    conf_destroy(&conf);
}

static void defaults_are_filled_in(void **state)
{
    (void)state;
    struct conf *conf = load("database { url postgresql:///x; }\n"
                             "route GET /a { query 'SELECT 1'; }\n"
                             "route DELETE /a { query 'DELETE FROM t'; result none; }\n");
    assert_string_equal(conf->listen.at[0].port, "8080");
    assert_int_equal(conf->database.statement_timeout_us, 5 * US_PER_S);
    assert_int_equal(conf->database.listen, LISTEN_AUTO);
    assert_null(conf->database.listen_url);
    assert_int_equal(conf->cache.ttl_without_listener_us, 5 * US_PER_S);
    assert_int_equal(conf->routes[0].result, RESULT_ROWS);
    assert_int_equal(conf->routes[0].status, 200);
    assert_false(conf->routes[0].cached);
    assert_int_equal(conf->routes[1].status, 204);
    assert_int_equal(conf->routes[0].timeout_us, 5 * US_PER_S);
    conf_destroy(&conf);
}

static uint64_t version_of(const char *route)
{
    char text[512];
    snprintf(text, sizeof text, "database { url postgresql:///x; }\n%s", route);
    struct conf *conf = load(text);
    uint64_t version = conf->routes[0].version;
    conf_destroy(&conf);
    return version;
}

static void auto_stays_within_the_bounds(void **state)
{
    (void)state;
    cpus = 1000;
    struct conf *conf = load("database { url postgresql:///x; }");
    assert_int_equal(conf->workers, 120);
    assert_int_equal(conf->database.pool_max, 1000);
    conf_destroy(&conf);
    cpus = 0;
}

static void the_version_changes_with_what_shapes_the_answer(void **state)
{
    (void)state;
    uint64_t base = version_of("route GET /a { query 'SELECT 1'; cache ttl=5s; }");
    assert_true(base == version_of("\n\nroute GET /a {\n query  'SELECT 1'; cache ttl=5s;\n}"));
    assert_true(base != version_of("route GET /a { query 'SELECT 2'; cache ttl=5s; }"));
    assert_true(base != version_of("route GET /b { query 'SELECT 1'; cache ttl=5s; }"));
    assert_true(base != version_of("route GET /a { query 'SELECT 1'; cache ttl=5s; result row; }"));
    assert_true(base != version_of("route GET /a { query 'SELECT 1'; cache ttl=5s; bigint string; }"));
}

static void what_is_printed_is_read_again(void **state)
{
    (void)state;
    size_t len;
    char *shipped = read_shipped(&len);
    struct conf *conf = load(shipped);
    char *first = print(conf);
    conf_destroy(&conf);
    conf = load(first);
    char *second = print(conf);
    conf_destroy(&conf);
    assert_string_equal(first, second);
    free(first);
    free(second);
    free(shipped);
}

static void errors_name_their_place(void **state)
{
    (void)state;
    is_refused("lisen 127.0.0.1:1;", "1:1", "listen");
    is_refused("workers 2;\nworkers 3;", "2:1", "1:1");
    is_refused("max_body 3s;", "1:10", "3s");
    is_refused("workers 121;", "1:9", "120");
    is_refused("workers auto", "1:1", ";");
    is_refused("database {\n url postgresql:///x;\n", "1:1", "closed");
    is_refused("access_log \"a\n", "1:12", "closed");
    is_refused("route GET /a { query 'SELECT 1'; }", "1:1", "database");
    is_refused("database { url postgresql:///x; }\nroute GET a { query 'SELECT 1'; }", "2:11", "/");
    is_refused("database { url postgresql:///x; pool min=9 max=2; }", "1:42", "min");
    is_refused("database { url postgresql:///x; pool mim=9; }", "1:38", "min");
    is_refused("database { url postgresql:///x; listen maybe; }", "1:40", "auto | on | off");
    is_refused("database { url postgresql:///x; listen_url mysql://x; }", "1:44", "postgresql://");
    is_refused("cache { ttl_without_listener 1ms; }", "1:30", "500ms");
    is_refused("redis { url rediss://h; }", "1:13", "rediss");
    is_refused("redis { url redis+sentinel://h; }", "1:13", "name of their master");
    is_refused("redis { url redis://h,; }", "1:13", "no host");
    is_refused("redis { url redis://h; listen maybe; }", "1:31", "auto | on | off");
    is_refused("redis { url redis://h; max_value 1GB; }", "1:34", "256MB");
    is_refused("redis { url redis://h; connections 0; }", "1:36", "1 to 16");
    is_refused("include ./.test_conf_absent;", "1:9", "absent");
}

/* Bytes of the shipped file changed, left out and doubled: an error or a configuration, never a crash (run it with
 * MODE=asan). */
static void no_bytes_crash_the_parser(void **state)
{
    (void)state;
    static const char odd[] = "{};\"'\\#$:-= \n\t\0\xff"
                              "0a";
    size_t len, changed;
    char *shipped = read_shipped(&len), *copy = xcalloc(1, len * 2);
    int accepted = 0;
    srandom(1);
    for (int round = 0; round < 1500; round++) {
        memcpy(copy, shipped, len);
        changed = len;
        for (int i = 0; i <= round % 4 && changed > 0; i++) {
            size_t at = (size_t)random() % changed;
            switch (random() % 3) {
            case 0:
                copy[at] = odd[(size_t)random() % (sizeof odd - 1)];
                break;
            case 1:
                memmove(copy + at, copy + at + 1, --changed - at);
                break;
            case 2:
                changed = at + 1;
                break;
            }
        }
        struct err err = {0};
        write_file(copy, changed);
        struct conf *conf = conf_load(path, &err);
        accepted += conf != NULL;
        assert_true(conf != NULL || err.text[0] != '\0');
        if (conf != NULL)
            conf_destroy(&conf);
    }
    assert_in_range(accepted, 50, 1450);
    free(shipped);
    free(copy);
}

#define PAGED(directives) "database { url postgresql:///x; }\nroute GET /a { query 'SELECT 1 AS a';\n" directives " }"

static const struct conf_param *limit_of(const struct conf_route *route)
{
    for (int i = 0; i < route->param_count; i++)
        if (strcmp(route->params[i].name, "limit") == 0)
            return &route->params[i];
    fail_msg("there is no limit");
    return NULL;
}

static void has_limit(const char *text, const char *preset, double min, double max)
{
    struct conf *conf = load(text);
    const struct conf_param *limit = limit_of(&conf->routes[0]);
    if (preset == NULL)
        assert_null(limit->default_text);
    else
        assert_string_equal(limit->default_text, preset);
    assert_true(limit->has_min && limit->min == min && limit->has_max && limit->max == max);
    conf_destroy(&conf);
}

static void a_page_has_its_keys_and_a_limit(void **state)
{
    (void)state;
    struct conf *conf = load(PAGED("page keyset at:desc 'a b:asc' id;"));
    const struct conf_page *page = &conf->routes[0].page;
    assert_int_equal(page->key_count, 3);
    assert_string_equal(page->keys[0].column, "at");
    assert_string_equal(page->keys[1].column, "a b");
    assert_string_equal(page->keys[2].column, "id");
    assert_true(page->keys[0].descending && !page->keys[1].descending && !page->keys[2].descending);
    char *text = print(conf);
    assert_non_null(strstr(text, "page keyset at:desc 'a b:asc' id:asc;"));
    assert_non_null(strstr(text, "param limit default=50 min=1 max=200;"));
    struct conf *again = load(text);
    assert_int_equal(again->routes[0].version, conf->routes[0].version);
    free(text);
    conf_destroy(&again);
    conf_destroy(&conf);
}

static void what_a_limit_does_not_say_is_filled_in(void **state)
{
    (void)state;
    has_limit(PAGED("page keyset a;"), "50", 1, 200);
    has_limit(PAGED("page keyset a; param limit max=20;"), "20", 1, 20);
    has_limit(PAGED("param limit default=500; page keyset a;"), "500", 1, 500);
    has_limit(PAGED("page keyset a; param limit default=5 min=2;"), "5", 2, 200);
    has_limit(PAGED("page keyset a; param limit min=300;"), "300", 300, 300);
    has_limit(PAGED("page keyset a; param limit required max=9;"), NULL, 1, 9);
}

static void pages_that_cannot_be_are_refused(void **state)
{
    (void)state;
    is_refused(PAGED("page offset a;"), "3:6", "\"offset\" is no kind of pages");
    is_refused(PAGED("page keyset;"), "3:1", "needs more");
    is_refused(PAGED("page keyset a:down;"), "3:13", "neither asc nor desc");
    is_refused(PAGED("page keyset a:descc;"), "3:13", "did you mean \"desc\"");
    is_refused(PAGED("page keyset :desc;"), "3:13", "a key of a page is COLUMN");
    is_refused(PAGED("page keyset a b:desc a:desc;"), "3:22", "\"a\" stands twice");
    is_refused(PAGED("page keyset a b c d e;"), "3:21", "4 columns at most");
    is_refused(PAGED("page keyset a; page keyset b;"), "3:16", "given twice");
    is_refused(PAGED("page keyset a; result row;"), "3:1", "only result rows");
    is_refused(PAGED("page keyset a; param cursor max_length=9;"), "3:22", "takes no rules");
    is_refused(PAGED("page keyset a; param limit min=0;"), "3:22", "between 1 and 1000000");
    is_refused(PAGED("page keyset a; param limit min=1.2 max=1.7;"), "3:22", "whole number between");
    is_refused(PAGED("page keyset a; param limit max=2000000;"), "3:22", "between 1 and 1000000");
    is_refused(PAGED("page keyset a; param limit default=many;"), "3:22", "the default \"many\"");
    is_refused(PAGED("page keyset a; param limit default=0;"), "3:22", "out of bounds");
    is_refused("database { url postgresql:///x; }\nroute POST /a { query 'SELECT 1'; page keyset a; }", "2:35",
               "only a GET");
}

static void redis_has_its_defaults_and_a_route_keeps_out(void **state)
{
    (void)state;
    struct conf *conf = load("database { url postgresql:///x; }\nredis { url redis://h; }\n"
                             "route GET /a { query 'SELECT 1'; cache ttl=1s; }\n"
                             "route GET /b { query 'SELECT 1'; cache ttl=1s redis=off; }\n");
    assert_int_equal(conf->redis.connections, 1);
    assert_int_equal(conf->redis.max_value_bytes, 1 << 20);
    assert_true(conf->redis.listen == LISTEN_AUTO && conf_listens_to_redis(conf));
    assert_true(conf->routes[0].redis && !conf->routes[1].redis);
    conf_destroy(&conf);
    conf = load("redis { url 'redis+sentinel://u:hidden@s/m?sentinel_password=hidden'; listen off; max_value 2KB; }");
    char *out = print(conf);
    assert_null(strstr(out, "hidden"));
    assert_non_null(strstr(out, "listen off;"));
    assert_non_null(strstr(out, "max_value 2KB;"));
    free(out);
    conf_destroy(&conf);
}

static void a_page_is_part_of_the_routes_version(void **state)
{
    (void)state;
    struct conf *one = load(PAGED("page keyset a:asc;")), *other = load(PAGED("page keyset a:desc;"));
    assert_int_not_equal(one->routes[0].version, other->routes[0].version);
    conf_destroy(&one);
    conf_destroy(&other);
}

static void has_combine(const char *directives, int keys, const char *printed)
{
    char text[200];
    snprintf(text, sizeof text, "database { url postgresql:///x; }\nroute GET /a { query 'SELECT :a'; result row; %s }",
             directives);
    struct conf *conf = load(text);
    char *out = print(conf);
    assert_int_equal(conf->routes[0].combine_keys, keys);
    assert_non_null(strstr(out, printed));
    free(out);
    conf_destroy(&conf);
}

static void combine_has_a_number_of_keys(void **state)
{
    (void)state;
    has_combine("", 0, "combine off;");
    has_combine("combine off;", 0, "combine off;");
    has_combine("combine on;", 128, "combine 128;");
    has_combine("combine 17;", 17, "combine 17;");
    is_refused(PAGED("result row; combine 1;"), "3:21", "out of bounds");
    is_refused(PAGED("result row; combine yes;"), "3:21", "not a whole number");
    is_refused(PAGED("combine on;"), "3:1", "only lookups of one row");
    is_refused(PAGED("result row; combine on; share off;"), "3:13", "its own transaction");
    is_refused("database { url postgresql:///x; }\nroute PUT /a { query 'SELECT 1'; result row; combine on; }", "2:46",
               "only the lookups of a GET");
}

#define FROM_GEO(directives) "upstream geo { url http://h; }\nroute GET /a {\n" directives " }"
#define GEO(directives) "upstream geo { url http://h;\n" directives " }"

static void a_route_finds_its_upstream(void **state)
{
    (void)state;
    struct conf *conf = load("route GET /a/{ip} { upstream geo /v1/{ip}?l={lang}; param lang default=en; }\n"
                             "route POST /a { upstream geo /v1; timeout 2s; invalidates a; }\n"
                             "upstream geo { url https://[::1]:9000/base//; timeout 7s; take X-One X-Two; }");
    const struct conf_upstream *geo = conf->routes[0].upstream;
    assert_ptr_equal(geo, conf->routes[1].upstream);
    assert_string_equal(geo->origin, "https://[::1]:9000");
    assert_string_equal(geo->base, "/base");
    assert_int_equal(geo->max_idle, 10);
    assert_int_equal(geo->idle_timeout_us, 90 * US_PER_S);
    assert_true(geo->verify && geo->take.count == 2 && geo->forward.count == 0);
    assert_string_equal(conf->routes[0].templates.at[0], "/v1/{ip}?l={lang}");
    assert_int_equal(conf->routes[0].timeout_us, 7 * US_PER_S);
    assert_int_equal(conf->routes[1].timeout_us, 2 * US_PER_S);
    char *text = print(conf);
    struct conf *again = load(text);
    assert_int_equal(again->routes[0].version, conf->routes[0].version);
    free(text);
    conf_destroy(&again);
    conf_destroy(&conf);
}

static uint64_t upstream_version(const char *text)
{
    struct conf *conf = load(text);
    uint64_t version = conf->routes[0].version;
    conf_destroy(&conf);
    return version;
}

static void an_upstream_is_part_of_the_routes_version(void **state)
{
    (void)state;
    static const char route[] = "route GET /a { upstream geo /x; cache ttl=1s; }\nupstream geo { url http://h",
                      end[] = "; }";
    const char *const texts[] = {"", "/base", ":81", "; take X-A", "; take X-B", "; forward X-A"};
    char text[200];
    uint64_t versions[ARRAY_LEN(texts)];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        snprintf(text, sizeof text, "%s%s%s", route, texts[i], end);
        versions[i] = upstream_version(text);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(versions[i], versions[j]);
    }
}

static void upstreams_that_cannot_be_are_refused(void **state)
{
    (void)state;
    is_refused("upstream geo { timeout 1s; }", "1:1", "needs a url");
    is_refused("upstream g-o { url http://h; }", "1:10", "no name");
    is_refused("upstream geo { url ftp://h; }", "1:20", "neither with http:// nor");
    is_refused("upstream geo { url http://u:p@h; }", "1:20", "user");
    is_refused("upstream geo { url http://h:99999; }", "1:20", "host:port");
    is_refused("upstream geo { url http://h/a?b; }", "1:20", "query");
    is_refused("upstream geo { url http://h/../a; }", "1:20", "..");
    is_refused("upstream geo { url http://h; }\nupstream geo { url http://i; }", "2:1", "already at");
    is_refused(GEO("forward Accept Connection;"), "2:16", "belongs to one connection");
    is_refused(GEO("forward Host;"), "2:9", "perfd's own");
    is_refused(GEO("forward if-none-match;"), "2:9", "perfd's own");
    is_refused(GEO("forward A a;"), "2:11", "stands twice");
    is_refused(GEO("take ETag;"), "2:6", "perfd's own");
    is_refused(GEO("take transfer-encoding;"), "2:6", "belongs to one connection");
    is_refused(GEO("ca ./GNUmakefile;"), "2:4", "no certificate");
    is_refused(GEO("ca ./.absent;"), "2:4", "absent");
}

static void targets_that_cannot_be_are_refused(void **state)
{
    (void)state;
    is_refused(FROM_GEO("upstream gee /a;"), "3:10", "no upstream \"gee\"");
    is_refused(FROM_GEO("upstream geo a;"), "3:14", "does not begin with /");
    is_refused(FROM_GEO("upstream geo /a/../b;"), "3:14", "..");
    is_refused(FROM_GEO("upstream geo /a/%2e%2e/b;"), "3:14", "%2e");
    is_refused(FROM_GEO("upstream geo '/a b';"), "3:14", "percent-encoded");
    is_refused(FROM_GEO("upstream geo /a%2;"), "3:14", "hexadecimal");
    is_refused(FROM_GEO("upstream geo /{a;"), "3:14", "{name}");
    is_refused(FROM_GEO("upstream geo /a}b;"), "3:14", "percent-encoded");
    is_refused(FROM_GEO("upstream geo /{a-b};"), "3:14", "{name}");
    is_refused(FROM_GEO("upstream geo /a; result row;"), "3:18", "result is for routes with SQL");
    is_refused(FROM_GEO("query 'SELECT 1'; upstream geo /a;"), "3:1", "query is for routes with SQL");
    is_refused(FROM_GEO("page keyset a; upstream geo /a;"), "3:1", "page is for routes with SQL");
    is_refused(FROM_GEO("upstream geo /a; target replica;"), "3:18", "target is for routes with SQL");
    is_refused(FROM_GEO("upstream geo /a; share off;"), "3:18", "share is for routes with SQL");
}

static void a_target_has_64_parameters_at_most(void **state)
{
    (void)state;
    char text[1200] = "upstream geo { url http://h; }\nroute GET /a { upstream geo /x?", *at = text + strlen(text);
    for (int i = 0; i < 64; i++)
        at += sprintf(at, "p%d={p%d}&", i, i);
    strcpy(at, "p1={p1}; }");
    struct conf *conf = load(text);
    conf_destroy(&conf);
    strcpy(at, "more={more}; }");
    is_refused(text, "2:29", "more than 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_shipped_file_has_the_guides_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_are_filled_in, setup, teardown),
        cmocka_unit_test_setup_teardown(auto_stays_within_the_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(the_version_changes_with_what_shapes_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_printed_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_name_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(no_bytes_crash_the_parser, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_has_its_keys_and_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_limit_does_not_say_is_filled_in, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_that_cannot_be_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_is_part_of_the_routes_version, setup, teardown),
        cmocka_unit_test_setup_teardown(combine_has_a_number_of_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_route_finds_its_upstream, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upstream_is_part_of_the_routes_version, setup, teardown),
        cmocka_unit_test_setup_teardown(upstreams_that_cannot_be_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(targets_that_cannot_be_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_target_has_64_parameters_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_has_its_defaults_and_a_route_keeps_out, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
