#include "common/conf_parse.h"
#include "common/template.h"

/* One less than shm's CACHE_TAGS_MAX, which this layer must not include. */
enum { TAGS_MAX = 8 };

/* ---- reading ---- */

/* NULL, or what is wrong with what follows the ? of a part: NAME=VALUE&..., the names without parameters. */
static const char *check_query(const char *query)
{
    for (const char *pair = query; pair != NULL; pair = strchr(pair, '&'), pair = pair ? pair + 1 : NULL) {
        size_t len = strcspn(pair, "&"), name = strcspn(pair, "=&");
        if (name == 0 || name == len)
            return "has something in its query string that is not NAME=VALUE";
        if (strcspn(pair, "{}") < name)
            return "may have parameters only in the path and in values of the query string";
    }
    for (const char *at = query; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("?#\\", *at) != NULL)
            return "holds a byte that a query string does not have: ?, #, \\, white space or a control character";
    return NULL;
}

/* Each brace belongs to a {name}. */
static bool names_ok(const char *template)
{
    for (const char *at = template; (at = strpbrk(at, "{}")) != NULL;) {
        size_t len = strcspn(at + 1, "{}");
        if (*at == '}' || at[1 + len] != '}' || !conf_name_ok(slice_of(at + 1, len)))
            return false;
        at += len + 2;
    }
    return true;
}

static const char *path_of(struct conf_parser *p, const struct conf_part *part)
{
    return arena_str(p->arena, slice_of(part->target, strcspn(part->target, "?")));
}

static const char *check_part_target(struct conf_parser *p, const struct conf_part *part)
{
    const char *query = strchr(part->target, '?');
    const char *wrong = conf_check_path(path_of(p, part));
    if (wrong == NULL && query != NULL)
        wrong = check_query(query + 1);
    return wrong != NULL || names_ok(part->target) ? wrong : "names a parameter as {name}";
}

static bool add_part(struct conf_parser *p, const struct conf_directive *d)
{
    struct conf_route *route = p->route;
    struct conf_part *part = &route->parts[route->part_count];
    if (route->part_count == CONF_PARTS_MAX)
        return conf_error(p->err, d->pos, "a fan has %d parts at most", CONF_PARTS_MAX);
    if (!conf_name_ok(slice_str(d->name)))
        return conf_error(p->err, d->pos, "\"%.100s\" is no part's name: letters, digits and _, at most 63", d->name);
    if (d->block || d->count < 1 || d->count > 2 || (d->count == 2 && strcmp(d->args[1].text, "optional") != 0))
        return conf_error(p->err, d->pos, "a part of a fan is NAME PATH; or NAME PATH optional;");
    for (int i = 0; i < route->part_count; i++)
        if (strcmp(route->parts[i].name, d->name) == 0)
            return conf_error(p->err, d->pos, "the part %s is given twice; first at %s:%d:%d", d->name,
                              route->parts[i].pos.file, route->parts[i].pos.line, route->parts[i].pos.column);
    *part = (struct conf_part){d->name, d->args[0].text, d->count == 2, -1, d->pos, d->args[0].pos};
    const char *wrong = check_part_target(p, part);
    if (wrong != NULL)
        return conf_error(p->err, part->target_pos, "the path \"%.100s\" %s", part->target, wrong);
    route->templates.at[route->part_count++] = part->target;
    route->templates.count = route->part_count;
    return true;
}

bool conf_set_fan(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf_route *route = p->route;
    struct conf_block options = {.context = CONF_IN_FAN, .target = route};
    struct conf_token token;
    route->from = FROM_FAN;
    route->result = RESULT_VALUE;
    route->parts = arena_alloc(p->arena, CONF_PARTS_MAX * sizeof *route->parts);
    route->templates.at = arena_alloc(p->arena, CONF_PARTS_MAX * sizeof *route->templates.at);
    conf_apply_defaults(p, CONF_IN_FAN, route);
    if (!conf_parse_options(p, &options, d, 0))
        return false;
    while (conf_lex_next(p->lex, &token, p->err)) {
        if (token.kind == CONF_CLOSE)
            return route->part_count > 0 || conf_error(p->err, d->pos, "a fan needs a part: NAME PATH;");
        if (token.kind == CONF_END)
            return conf_error(p->err, d->pos, "the block of \"fan\" is never closed");
        if (token.kind != CONF_WORD)
            return conf_error(p->err, token.pos, "the name of a part was expected");
        const struct conf_directive *part = conf_read_directive(p, &token);
        if (part == NULL || !add_part(p, part))
            return false;
    }
    return false;
}

bool conf_fan_takes(const struct conf_row *row)
{
    return row->kind == CONF_FAN || row->kind == CONF_ROUTE_CACHE || row->kind == CONF_PARAM ||
           row->offset == offsetof(struct conf_route, compress);
}

bool conf_check_fan(struct conf_parser *p, const struct conf_block *block, const struct conf_route *route)
{
    if (conf_seen(block, "fan") == NULL)
        return true;
    if (route->method != METHOD_GET)
        return conf_error(p->err, conf_seen(block, "fan")->pos, "only a GET is answered by a fan");
    for (int i = 0; i < CONF_ROW_COUNT; i++)
        if (block->seen[i] != NULL && !conf_fan_takes(&conf_rows[i]))
            return conf_error(p->err, block->seen[i]->pos, "\"%s\" does not go with a fan", conf_rows[i].name);
    return true;
}

/* ---- the routes that answer the parts ---- */

/* The better a route's path fits a part's, the more of its first segments are literal, as the router prefers them. What
 * a parameter stands for is not known yet, so it fits a parameter alone. */
static bool fits(const char *part, const char *path, uint64_t *score_out)
{
    struct slice ignored;
    *score_out = 0;
    while (*part == '/' && *path == '/') {
        struct slice wanted = conf_next_segment(&part), segment = conf_next_segment(&path);
        bool any = conf_is_name_segment(segment, &ignored);
        if (!any && !slice_eq(wanted, segment))
            return false;
        *score_out = *score_out << 1 | !any;
    }
    return *part == *path;
}

/* The best path wins even where it has no GET. */
static int find_route(const struct conf *conf, const char *path)
{
    uint64_t best = 0, score;
    int found = -1;
    for (int i = 0; i < conf->route_count; i++)
        if (fits(path, conf->routes[i].path, &score))
            best = MAX(best, score);
    for (int i = 0; i < conf->route_count; i++)
        if (conf->routes[i].method == METHOD_GET && fits(path, conf->routes[i].path, &score) && score == best)
            found = i;
    return found;
}

static bool is_always_given(const struct conf_route *route, struct slice name)
{
    char text[64]; /* conf_name_ok(): at most 63 bytes */
    *(char *)mempcpy(text, name.at, name.len) = '\0';
    if (template_has(route->path, text))
        return true;
    for (int i = 0; i < route->param_count; i++)
        if (strcmp(route->params[i].name, text) == 0)
            return route->params[i].required || route->params[i].default_text != NULL;
    return false;
}

bool conf_finish_fan(struct conf_parser *p, struct conf_route *route)
{
    for (struct conf_part *part = route->parts; part < route->parts + route->part_count; part++) {
        const char *path = path_of(p, part), *at = path;
        part->route = find_route(p->conf, path);
        if (part->route < 0)
            return conf_error(p->err, part->target_pos, "the part %s: no GET route answers %.100s", part->name, path);
        for (struct template_part piece; template_next(&at, &piece);)
            if (piece.name.len > 0 && !is_always_given(route, piece.name))
                return conf_error(p->err, part->target_pos,
                                  "the part %s: {" SLICE_FMT "} may be absent, and a path needs it: it is in the "
                                  "route's own path, or has a default, or is required",
                                  part->name, SLICE_ARG(piece.name));
    }
    return true;
}

/* ---- fans of fans ---- */

struct chain {
    const struct conf_route *route;
    const struct chain *up;
    int depth;
};

static bool check_depth(struct conf_parser *p, const struct chain *chain)
{
    const struct conf_route *route = chain->route;
    for (const struct conf_part *part = route->parts; part < route->parts + route->part_count; part++) {
        const struct chain next = {&p->conf->routes[part->route], chain, chain->depth + 1};
        if (next.route->from != FROM_FAN)
            continue;
        for (const struct chain *c = chain; c != NULL; c = c->up)
            if (c->route == next.route)
                return conf_error(p->err, part->target_pos, "the part %s leads back to the fan %s", part->name,
                                  next.route->name);
        if (next.depth > CONF_FAN_DEPTH_MAX)
            return conf_error(p->err, part->target_pos, "the part %s: fans of fans are %d deep at most", part->name,
                              CONF_FAN_DEPTH_MAX);
        if (!check_depth(p, &next))
            return false;
    }
    return true;
}

/* Of the route and all that its answer is made of. Tags without parameters count once; what is kept of an upstream has
 * one of its own beside. */
static int count_tags(const struct conf *conf, const struct conf_route *route, const char *seen[TAGS_MAX], int count)
{
    for (int i = 0; i < route->cache_tags.count && count <= TAGS_MAX; i++) {
        const char *tag = route->cache_tags.at[i];
        bool known = false;
        for (int j = 0; j < count && strchr(tag, '{') == NULL; j++)
            known = known || strcmp(seen[j], tag) == 0;
        if (!known && count < TAGS_MAX)
            seen[count] = tag;
        count += !known;
    }
    if (route->from == FROM_UPSTREAM && route->cached && count <= TAGS_MAX) {
        if (count < TAGS_MAX)
            seen[count] = route->path;
        count++;
    }
    for (int i = 0; i < route->part_count && count <= TAGS_MAX; i++)
        count = count_tags(conf, &conf->routes[route->parts[i].route], seen, count);
    return count;
}

bool conf_check_fans(struct conf_parser *p)
{
    const struct conf *conf = p->conf;
    for (const struct conf_route *r = conf->routes; r < conf->routes + conf->route_count; r++) {
        const char *seen[TAGS_MAX];
        if (r->from == FROM_FAN && !check_depth(p, &(struct chain){r, NULL, 1}))
            return false;
        if (r->from == FROM_FAN && r->cached && count_tags(conf, r, seen, 0) > TAGS_MAX)
            return conf_error(p->err, r->pos,
                              "the answers of the fan %s would have more than %d tags, its own and "
                              "those of its parts: it cannot be cached",
                              r->name, TAGS_MAX);
    }
    return true;
}
