#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "worker/router.h"

static const char *names[] = {"id", "post"};
static struct query query = {.names = names, .name_count = 2};
static const struct conf_route confs[] = {
    {.method = METHOD_GET, .path = "/users"},
    {.method = METHOD_GET, .path = "/users/{id}"},
    {.method = METHOD_DELETE, .path = "/users/{id}"},
    {.method = METHOD_GET, .path = "/users/me"},
    {.method = METHOD_GET, .path = "/users/{id}/posts/{post}"},
    {.method = METHOD_POST, .path = "/users/me/posts"},
    {.method = METHOD_GET, .path = "/"},
};

struct fixture {
    struct arena *arena;
    struct route routes[ARRAY_LEN(confs)];
    struct router *router;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->arena = arena_create();
    for (size_t i = 0; i < ARRAY_LEN(confs); i++)
        f->routes[i] = (struct route){.conf = &confs[i], .query = &query};
    f->router = router_create(f->routes, ARRAY_LEN(confs));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    router_destroy(&f->router);
    arena_destroy(&f->arena);
    free(f);
    return 0;
}

static struct slice values[TARGET_SEGMENTS_MAX];

static const struct router_place *find(struct fixture *f, const char *path)
{
    struct target target;
    assert_null(target_parse(slice_str(path), f->arena, &target));
    return router_find(f->router, &target, values);
}

/* Index of the route, or -1. */
static int route_of(struct fixture *f, const char *path, enum method method)
{
    const struct router_place *place = find(f, path);
    struct route *route = place ? router_route(place, method) : NULL;
    return route ? (int)(route - f->routes) : -1;
}

static void paths_find_their_route(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(route_of(f, "/users", METHOD_GET), 0);
    assert_int_equal(route_of(f, "/users/7", METHOD_GET), 1);
    assert_int_equal(route_of(f, "/users/7", METHOD_DELETE), 2);
    assert_int_equal(route_of(f, "/users/7/posts/9", METHOD_GET), 4);
    assert_true(slice_is(values[0], "7"));
    assert_true(slice_is(values[1], "9"));
    assert_int_equal(route_of(f, "/", METHOD_GET), 6);
}

static void a_literal_wins_and_leads_back(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(route_of(f, "/users/me", METHOD_GET), 3);
    assert_int_equal(route_of(f, "/users/me/posts", METHOD_POST), 5);
    assert_int_equal(route_of(f, "/users/me/posts/1", METHOD_GET), 4);
    assert_true(slice_is(values[0], "me"));
}

static void what_is_not_there_is_not_found(void **state)
{
    struct fixture *f = *state;
    assert_null(find(f, "/user"));
    assert_null(find(f, "/users/"));
    assert_null(find(f, "/users/7/posts"));
    assert_null(find(f, "/users/7/posts/9/x"));
    assert_null(find(f, "/Users"));
}

static void methods_are_listed(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(router_allow(find(f, "/users/7")), "GET, HEAD, DELETE, OPTIONS");
    assert_string_equal(router_allow(find(f, "/users/me/posts")), "POST, OPTIONS");
    assert_int_equal(router_name(find(f, "/users/7/posts/9"), METHOD_GET, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths_find_their_route, setup, teardown),
        cmocka_unit_test_setup_teardown(a_literal_wins_and_leads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(methods_are_listed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
