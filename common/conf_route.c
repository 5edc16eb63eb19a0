#include "common/conf_parse.h"

enum { SEGMENTS_MAX = 64, PATH_BYTES_MAX = 1024 };
enum { INHERITED_US = -1 }; /* until conf_finish_routes() */
enum { COMBINE_KEYS = 128 };

const char *const method_names[METHOD_COUNT] = {
    [METHOD_GET] = "GET",     [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",
    [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

static bool read_method(struct conf_parser *p, const struct conf_arg *arg, enum method *method_out)
{
    static const char methods[] = "GET | POST | PUT | PATCH | DELETE";
    for (int i = 0; i < METHOD_COUNT; i++) {
        *method_out = (enum method)i;
        if (strcmp(arg->text, method_names[i]) == 0)
            return true;
    }
    if (strcmp(arg->text, "HEAD") == 0 || strcmp(arg->text, "OPTIONS") == 0)
        return conf_error(p->err, arg->pos, "%s needs no route: every route answers it", arg->text);
    return conf_error(p->err, arg->pos, "\"%.40s\" is none of %s%s", arg->text, methods,
                      conf_suggest(p, methods, arg->text));
}

bool conf_is_name_segment(struct slice segment, struct slice *name_out)
{
    *name_out = slice_of(segment.at + 1, segment.len - 2);
    return segment.len > 2 && segment.at[0] == '{' && segment.at[segment.len - 1] == '}' && conf_name_ok(*name_out);
}

/* What is wrong with one segment, or NULL. */
static const char *check_segment(struct slice segment)
{
    struct slice name;
    if (segment.len == 0)
        return "has an empty segment";
    if (slice_is(segment, ".") || slice_is(segment, ".."))
        return "has a segment . or ..";
    if (memchr(segment.at, '{', segment.len) == NULL && memchr(segment.at, '}', segment.len) == NULL)
        return NULL;
    return conf_is_name_segment(segment, &name) ? NULL : "may name a parameter only as a whole segment: /{name}";
}

struct slice conf_next_segment(const char **at)
{
    struct slice segment = slice_of(*at + 1, strcspn(*at + 1, "/"));
    *at = segment.at + segment.len;
    return segment;
}

/* True when a name of the path stands in it twice. */
static bool repeats_name(const char *path)
{
    struct slice one, other;
    for (const char *at = path; *at == '/';) {
        if (!conf_is_name_segment(conf_next_segment(&at), &one))
            continue;
        for (const char *later = at; *later == '/';)
            if (conf_is_name_segment(conf_next_segment(&later), &other) && slice_eq(one, other))
                return true;
    }
    return false;
}

const char *conf_check_path(const char *path)
{
    int segments = 0;
    if (path[0] != '/')
        return "does not begin with /";
    if (strlen(path) > PATH_BYTES_MAX)
        return "is longer than 1024 bytes";
    for (const char *at = path; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("?#%\\", *at) != NULL)
            return "holds a byte that a path does not have: ?, #, %, \\, white space or a control character";
    if (path[1] == '\0')
        return NULL;
    for (const char *at = path; *at == '/';) {
        const char *bad = check_segment(conf_next_segment(&at));
        if (bad != NULL)
            return bad;
        if (++segments > SEGMENTS_MAX)
            return "has more than 64 segments";
    }
    return repeats_name(path) ? "has a name twice" : NULL;
}

/* Both match the same requests: equal but for the names. */
static bool same_shape(const char *a, const char *b)
{
    struct slice ignored;
    while (*a == '/' && *b == '/') {
        struct slice left = conf_next_segment(&a), right = conf_next_segment(&b);
        bool named = conf_is_name_segment(left, &ignored);
        if (named != conf_is_name_segment(right, &ignored) || (!named && !slice_eq(left, right)))
            return false;
    }
    return *a == *b;
}

static bool read_path(struct conf_parser *p, const struct conf_arg *arg, struct conf_route *route)
{
    const char *bad = conf_check_path(arg->text);
    if (bad != NULL)
        return conf_error(p->err, arg->pos, "the path \"%.100s\" %s", arg->text, bad);
    route->path = arg->text;
    route->name = arena_printf(p->arena, "%s %s", method_names[route->method], route->path);
    for (const struct conf_route *r = p->conf->routes; r < route; r++)
        if (r->method == route->method && same_shape(r->path, route->path))
            return conf_error(p->err, arg->pos, "the route %s is given already as %s at %s:%d:%d", route->name, r->name,
                              r->pos.file, r->pos.line, r->pos.column);
    return true;
}

bool conf_set_sql(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)field;
    struct slice text;
    if (p->route->sql_text != NULL)
        return conf_error(p->err, d->pos, "a route has either sql or query, not both");
    if (!conf_set_path(p, row, &p->route->sql_file, d) || !conf_read_file(p, p->route->sql_file, d->args[0].pos, &text))
        return false;
    p->route->sql_text = text.at; /* conf_read_file() puts a NUL behind it */
    p->route->sql_pos = (struct conf_pos){p->route->sql_file, 1, 1};
    return true;
}

bool conf_set_query(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    if (p->route->sql_text != NULL)
        return conf_error(p->err, d->pos, "a route has either sql or query, not both");
    p->route->sql_text = d->args[0].text;
    p->route->sql_pos = d->args[0].pos;
    p->route->sql_pos.column += d->args[0].quoted; /* behind the quote */
    return true;
}

/* NULL, or what is wrong with a tag such as user:{id}. */
static const char *check_tag(const char *tag)
{
    if (tag[0] == '\0' || strlen(tag) > 200)
        return "is not 1 to 200 bytes long";
    for (const char *at = tag; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == ',')
            return "holds white space, a comma or a control character";
        if (*at == '}')
            return "has a } without its {";
        if (*at != '{')
            continue;
        size_t len = strcspn(at + 1, "{}");
        if (at[1 + len] != '}' || !conf_name_ok(slice_of(at + 1, len)))
            return "names a parameter as {name}";
        at += len + 1;
    }
    return NULL;
}

static bool check_tags(struct conf_parser *p, const struct conf_strings *tags, struct conf_pos pos)
{
    for (int i = 0; i < tags->count; i++) {
        const char *bad = check_tag(tags->at[i]);
        for (int j = 0; j < i && bad == NULL; j++)
            bad = strcmp(tags->at[i], tags->at[j]) == 0 ? "stands twice" : NULL;
        if (bad != NULL)
            return conf_error(p->err, pos, "the tag \"%.100s\" %s", tags->at[i], bad);
    }
    return true;
}

bool conf_set_tag_list(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return conf_set_text_list(p, row, field, d) && check_tags(p, field, d->args[0].pos);
}

bool conf_set_tags(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    struct conf_strings *tags = field;
    if (p->route->method == METHOD_GET)
        return conf_error(p->err, d->pos, "a GET changes nothing: %s belongs into routes that write", row->name);
    if (d->count > row->max)
        return conf_error(p->err, d->args[row->max].pos, "%s takes %d tags at most", row->name, (int)row->max);
    tags->at = arena_alloc(p->arena, (size_t)d->count * sizeof *tags->at);
    for (int i = 0; i < d->count; i++) {
        tags->at[i] = d->args[i].text;
        tags->count = i + 1;
        if (!check_tags(p, tags, d->args[i].pos))
            return false;
    }
    return true;
}

bool conf_set_route_cache(struct conf_parser *p, const struct conf_row *row, void *field,
                          const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf_block options = {.context = CONF_IN_ROUTE_CACHE, .target = p->route};
    if (d->count == 1 && strcmp(d->args[0].text, "off") == 0)
        return true;
    if (p->route->method != METHOD_GET)
        return conf_error(p->err, d->pos, "only the answers of a GET are cached");
    p->route->cached = true;
    return conf_parse_options(p, &options, d, 0);
}

bool conf_set_combine(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const char *word = d->args[0].text;
    bool off = strcmp(word, "off") == 0;
    p->route->combine_pos = d->pos;
    if (!off && strcmp(word, "on") != 0)
        return conf_set_int(p, row, field, d);
    *(int *)field = off ? 0 : COMBINE_KEYS;
    return true;
}

bool conf_finish_combine(struct conf_parser *p, const struct conf_route *route)
{
    if (route->combine_keys == 0)
        return true;
    if (route->method != METHOD_GET)
        return conf_error(p->err, route->combine_pos, "only the lookups of a GET are combined");
    if (route->result != RESULT_ROW && route->result != RESULT_VALUE)
        return conf_error(p->err, route->combine_pos, "only lookups of one row are combined: result row or value");
    if (!route->share)
        return conf_error(p->err, route->combine_pos, "a query that must have its own transaction is not combined");
    return true;
}

static bool check_target(struct conf_parser *p, const struct conf_block *block, const struct conf_route *route)
{
    if (route->replica && route->method != METHOD_GET)
        return conf_error(p->err, conf_seen(block, "target")->pos, "only a GET reads from a replica");
    if (route->replica && route->combine_keys > 0)
        return conf_error(p->err, conf_seen(block, "target")->pos, "combined lookups read from the primary");
    return true;
}

/* 204 has no body (RFC 9110, section 15.3.5), 205 neither. */
static bool check_status(struct conf_parser *p, const struct conf_block *block, struct conf_route *route)
{
    const struct conf_directive *status = conf_seen(block, "status");
    bool none = route->result == RESULT_NONE;
    if (status == NULL)
        route->status = none ? 204 : 200;
    else if (none && route->status != 204)
        return conf_error(p->err, status->args[0].pos, "result none is answered 204, not %d", route->status);
    else if (!none && (route->status == 204 || route->status == 205))
        return conf_error(p->err, status->args[0].pos, "an answer of %d has no body: it needs result none",
                          route->status);
    return true;
}

static struct conf_route *add_route(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    if (conf->route_count == p->route_room) {
        p->route_room = MAX(2 * p->route_room, 16);
        struct conf_route *more = arena_alloc(p->arena, (size_t)p->route_room * sizeof *more);
        if (conf->route_count > 0)
            memcpy(more, conf->routes, (size_t)conf->route_count * sizeof *more);
        conf->routes = more;
    }
    return &conf->routes[conf->route_count++];
}

/* With what every kind of route has. */
static struct conf_route *begin_route(struct conf_parser *p, struct conf_pos pos)
{
    if (p->conf->route_count == CONF_ROUTES_MAX) {
        conf_error(p->err, pos, "there are 1,000 routes already; that is the most");
        return NULL;
    }
    struct conf_route *route = p->route = add_route(p);
    route->pos = pos;
    route->timeout_us = route->slow_query_us = route->cache_ttl_us = route->cache_tti_us = INHERITED_US;
    return route;
}

bool conf_set_route(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf_route *route = begin_route(p, d->pos);
    struct conf_block block = {.context = CONF_IN_ROUTE, .target = route};
    if (route == NULL || !read_method(p, &d->args[0], &route->method) || !read_path(p, &d->args[1], route))
        return false;
    conf_apply_defaults(p, CONF_IN_ROUTE, route);
    conf_apply_defaults(p, CONF_IN_ROUTE_CACHE, route);
    if (!conf_parse_block(p, &block, d) || !conf_finish_source(p, &block, route) || !check_status(p, &block, route) ||
        !check_target(p, &block, route))
        return false;
    if (!conf_finish_page(p, route) || !conf_finish_combine(p, route) || !conf_check_fan(p, &block, route))
        return false;
    if (route->from == FROM_SQL && route->sql_text == NULL)
        return conf_error(p->err, d->pos, "the route %s needs a query: sql FILE; or query \"TEXT\"; (or an upstream)",
                          route->name);
    return true;
}

bool conf_set_batch(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf_route *route = begin_route(p, d->pos);
    struct conf_block block = {.context = CONF_IN_BATCH, .target = route};
    if (route == NULL)
        return false;
    conf_apply_defaults(p, CONF_IN_ROUTE, route);
    conf_apply_defaults(p, CONF_IN_BATCH, route);
    route->method = METHOD_POST;
    route->from = FROM_BATCH;
    route->result = RESULT_VALUE;
    route->status = 200;
    if (!read_path(p, &d->args[0], route))
        return false;
    if (strchr(route->path, '{') != NULL)
        return conf_error(p->err, d->args[0].pos, "the path of a batch has no parameters");
    return conf_parse_block(p, &block, d);
}

bool conf_finish_routes(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    for (struct conf_route *r = conf->routes; r < conf->routes + conf->route_count; r++) {
        if (r->from == FROM_UPSTREAM && !conf_find_upstream(p, r))
            return false;
        if (r->from == FROM_SQL && !conf->database.set)
            return conf_error(p->err, r->pos, "a route with SQL needs a database block");
        if (r->replica && conf->database.replica_url == NULL)
            return conf_error(p->err, r->pos, "target replica needs the database's replica_url");
        if (r->plan == PLAN_GENERIC && !conf->database.prepare)
            return conf_error(p->err, r->pos,
                              "plan generic needs prepared statements: not with the database's prepare off");
        if (r->from == FROM_FAN || r->from == FROM_BATCH)
            r->timeout_us = conf->request_timeout_us;
        if (r->timeout_us == INHERITED_US)
            r->timeout_us = r->upstream ? r->upstream->timeout_us : conf->database.statement_timeout_us;
        if (r->slow_query_us == INHERITED_US)
            r->slow_query_us = conf->database.slow_query_us;
        if (r->cache_ttl_us == INHERITED_US)
            r->cache_ttl_us = r->upstream ? 0 : conf->cache.ttl_us;
        if (r->cache_tti_us == INHERITED_US)
            r->cache_tti_us = r->upstream ? 0 : conf->cache.tti_us;
        if (!conf_finish_rate_limit(p, r) || !conf_finish_fan(p, r))
            return false;
    }
    if (!conf_check_fans(p))
        return false;
    for (struct conf_route *r = conf->routes; r < conf->routes + conf->route_count; r++)
        r->version = conf_route_version(conf, r);
    return true;
}
