#include "worker/router.h"

#include <stdio.h>
#include <stdlib.h>

/* A tree of segments. Children are few, so they are a list. */
struct node {
    struct slice segment; /* literal; len 0 with `any`: a parameter */
    bool any;
    struct node *children, *next;
    struct router_place *place;
};

struct router_place {
    struct route *routes[METHOD_COUNT];
    int names[METHOD_COUNT][TARGET_SEGMENTS_MAX];
    char allow[64];
};

struct router {
    struct arena *arena;
    struct node root;
};

static struct node *child(struct router *router, struct node *parent, struct slice segment, bool any)
{
    struct node **at = &parent->children;
    for (; *at != NULL; at = &(*at)->next)
        if ((*at)->any == any && (any || slice_eq((*at)->segment, segment)))
            return *at;
    *at = arena_alloc(router->arena, sizeof **at);
    (*at)->segment = any ? slice_of("", 0) : segment;
    (*at)->any = any;
    return *at;
}

static void describe_methods(struct router_place *place)
{
    size_t len = 0;
    for (int m = 0; m < METHOD_COUNT; m++)
        if (place->routes[m] != NULL)
            len += (size_t)snprintf(place->allow + len, sizeof place->allow - len, "%s, %s", method_names[m],
                                    m == METHOD_GET ? "HEAD, " : "");
    snprintf(place->allow + len, sizeof place->allow - len, "OPTIONS");
}

static void add_route(struct router *router, struct route *route)
{
    struct node *node = &router->root;
    int values[TARGET_SEGMENTS_MAX], count = 0;
    const char *at = route->conf->path;
    while (*at == '/') {
        const char *end = strchrnul(++at, '/');
        struct slice segment = slice_of(at, (size_t)(end - at));
        bool any = segment.len > 2 && segment.at[0] == '{';
        if (any)
            values[count++] =
                route->query ? query_name_index(route->query, slice_of(segment.at + 1, segment.len - 2)) : -1;
        node = child(router, node, segment, any);
        at = end;
    }
    if (node->place == NULL)
        node->place = arena_alloc(router->arena, sizeof *node->place);
    node->place->routes[route->conf->method] = route;
    memcpy(node->place->names[route->conf->method], values, (size_t)count * sizeof *values);
    describe_methods(node->place);
}

struct router *router_create(struct route *routes, int count)
{
    struct router *router = xcalloc(1, sizeof *router);
    router->arena = arena_create();
    for (int i = 0; i < count; i++)
        add_route(router, &routes[i]);
    return router;
}

void router_destroy(struct router **router)
{
    arena_destroy(&(*router)->arena);
    free(*router);
    *router = NULL;
}

/* Literal segments first; back to a parameter when they lead nowhere. */
static const struct router_place *find(const struct node *node, const struct target *target, int at,
                                       struct slice *values, int count)
{
    if (at == target->segment_count)
        return node->place;
    for (int any = 0; any <= 1; any++)
        for (const struct node *c = node->children; c != NULL; c = c->next) {
            bool fits = any ? target->segments[at].len > 0 : slice_eq(c->segment, target->segments[at]);
            if (c->any != any || !fits)
                continue;
            if (any)
                values[count] = target->segments[at];
            const struct router_place *place = find(c, target, at + 1, values, count + any);
            if (place != NULL)
                return place;
        }
    return NULL;
}

const struct router_place *router_find(const struct router *router, const struct target *target,
                                       struct slice *values_out)
{
    return find(&router->root, target, 0, values_out, 0);
}

struct route *router_route(const struct router_place *place, enum method method)
{
    return place->routes[method];
}

int router_name(const struct router_place *place, enum method method, int i)
{
    return place->names[method][i];
}

const char *router_allow(const struct router_place *place)
{
    return place->allow;
}
