#include "common/conf_parse.h"

#include <ctype.h>
#include <stdlib.h>

enum { PARAMETERS_MAX = 64, URL_BYTES_MAX = 2048 };

/* ---- url ---- */

/* [v6] or a name or address; what follows it is at *end_out. */
static bool read_host(const char *at, const char **end_out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t len = *at == '[' ? strspn(at + 1, "0123456789abcdefABCDEF:.") : strspn(at, letters);
    *end_out = at + len + (*at == '[' ? 2 : 0);
    return len > 0 && (*at != '[' || at[1 + len] == ']');
}

static bool read_port(const char *at, const char **end_out)
{
    size_t digits = strspn(at, "0123456789");
    int port = digits > 0 && digits <= 5 ? atoi(at) : 0;
    *end_out = at + digits;
    return port >= 1 && port <= 65535;
}

static bool is_dots(struct slice segment)
{
    return slice_is(segment, ".") || slice_is(segment, "..");
}

/* What is wrong with a literal path, or NULL. */
static const char *check_path(const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr("\"<>\\^`{|}#", *at) != NULL)
            return "holds a byte that must be percent-encoded";
        if (*at == '%' && (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2])))
            return "has a % that two hexadecimal digits do not follow";
    }
    size_t end = strcspn(path, "?");
    for (const char *at = path; at < path + end;) {
        size_t len = strcspn(at + 1, "/?");
        if (is_dots(slice_of(at + 1, len)) || (len > 0 && strncasecmp(at + 1, "%2e", 3) == 0))
            return "has a segment that begins with %2e, or is . or ..";
        at += 1 + len;
    }
    return NULL;
}

static const char *read_url(struct conf_parser *p, const char *url, struct conf_upstream *upstream)
{
    const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
    const char *at;
    if (host == NULL)
        return "begins neither with http:// nor https://";
    if (strlen(url) > URL_BYTES_MAX)
        return "is longer than 2048 bytes";
    if (memchr(host, '@', strcspn(host, "/")) != NULL)
        return "holds a user, which is not supported";
    if (!read_host(host, &at) || (*at == ':' && !read_port(at + 1, &at)) || (*at != '\0' && *at != '/'))
        return "is not http://host:port/base";
    if (strchr(at, '?') != NULL)
        return "has a query, which only a route's target may have";
    size_t base = strlen(at);
    while (base > 0 && at[base - 1] == '/')
        base--;
    upstream->url = url;
    upstream->origin = arena_str(p->arena, slice_of(url, (size_t)(at - url)));
    upstream->base = arena_str(p->arena, slice_of(at, base));
    return check_path(upstream->base);
}

bool conf_set_upstream_url(struct conf_parser *p, const struct conf_row *row, void *field,
                           const struct conf_directive *d)
{
    (void)row, (void)field;
    const char *wrong = read_url(p, d->args[0].text, p->upstream);
    return wrong == NULL || conf_error(p->err, d->args[0].pos, "the url %s", wrong);
}

/* ---- header fields ---- */

/* Of one connection alone (RFC 9110 7.6.1), or of how a body goes over it. */
static const char *const of_hop[] = {"Connection",
                                     "Keep-Alive",
                                     "Proxy-Connection",
                                     "TE",
                                     "Trailer",
                                     "Transfer-Encoding",
                                     "Upgrade",
                                     "Proxy-Authorization",
                                     "Proxy-Authenticate",
                                     "Content-Length",
                                     "Proxy-Authentication-Info"};
/* What perfd says itself, or answers itself. */
static const char *const own_request[] = {
    "Host",       "Expect",       "Range",       "If-Range",    "If-None-Match", "If-Modified-Since", "Accept-Encoding",
    "User-Agent", "X-Request-Id", "traceparent", "Content-Type"};
static const char *const own_answer[] = {
    "Age",           "Cache-Control", "Content-Encoding", "Content-Range", "Content-Type", "Date", "ETag",
    "Server-Timing", "Vary",          "X-Cache",          "X-Request-Id",  "Accept-Ranges"};

static bool is_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool check_fields(struct conf_parser *p, const struct conf_block *block, const char *directive,
                         const char *const *own, size_t own_count)
{
    const struct conf_directive *d = conf_seen(block, directive);
    for (int i = 0; d != NULL && i < d->count; i++) {
        const char *name = d->args[i].text, *wrong = NULL;
        if (is_in(name, of_hop, ARRAY_LEN(of_hop)))
            wrong = "belongs to one connection and is never passed on";
        else if (is_in(name, own, own_count))
            wrong = "is perfd's own";
        for (int j = 0; j < i && wrong == NULL; j++)
            wrong = strcasecmp(name, d->args[j].text) == 0 ? "stands twice" : NULL;
        if (wrong != NULL)
            return conf_error(p->err, d->args[i].pos, "%s: the header field \"%.60s\" %s", directive, name, wrong);
    }
    return true;
}

/* ---- the block ---- */

static const struct conf_upstream *find(const struct conf *conf, const char *name)
{
    for (const struct conf_upstream *u = conf->upstreams; u < conf->upstreams + conf->upstream_count; u++)
        if (strcmp(u->name, name) == 0)
            return u;
    return NULL;
}

static struct conf_upstream *add_upstream(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    if (conf->upstream_count == p->upstream_room) {
        p->upstream_room = MAX(2 * p->upstream_room, 4);
        struct conf_upstream *more = arena_alloc(p->arena, (size_t)p->upstream_room * sizeof *more);
        if (conf->upstream_count > 0)
            memcpy(more, conf->upstreams, (size_t)conf->upstream_count * sizeof *more);
        conf->upstreams = more;
    }
    return &conf->upstreams[conf->upstream_count++];
}

static bool check_ca(struct conf_parser *p, const struct conf_block *block, const struct conf_upstream *upstream)
{
    struct slice text;
    const struct conf_directive *ca = conf_seen(block, "ca");
    if (ca == NULL)
        return true;
    if (!conf_read_file(p, upstream->ca, ca->args[0].pos, &text))
        return false;
    return memmem(text.at, text.len, "-----BEGIN", 10) != NULL ||
           conf_error(p->err, ca->args[0].pos, "\"%.200s\" holds no certificate in PEM", upstream->ca);
}

bool conf_set_upstream(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    const struct conf_arg *name = &d->args[0];
    const struct conf_upstream *earlier = find(p->conf, name->text);
    if (!conf_name_ok(slice_str(name->text)))
        return conf_error(p->err, name->pos, "\"%.60s\" is no name: letters, digits and _", name->text);
    if (earlier != NULL)
        return conf_error(p->err, d->pos, "the upstream %s is given already at %s:%d:%d", name->text, earlier->pos.file,
                          earlier->pos.line, earlier->pos.column);
    struct conf_upstream *upstream = p->upstream = add_upstream(p);
    struct conf_block block = {.context = CONF_IN_UPSTREAM, .target = upstream};
    upstream->name = name->text;
    upstream->pos = d->pos;
    conf_apply_defaults(p, CONF_IN_UPSTREAM, upstream);
    if (!conf_parse_block(p, &block, d))
        return false;
    if (upstream->url == NULL)
        return conf_error(p->err, d->pos, "\"upstream\" needs a url");
    return check_ca(p, &block, upstream) && check_fields(p, &block, "forward", own_request, ARRAY_LEN(own_request)) &&
           check_fields(p, &block, "take", own_answer, ARRAY_LEN(own_answer));
}

/* ---- a route's target ---- */

struct names {
    struct slice at[PARAMETERS_MAX];
    int count;
};

static bool add_name(struct names *names, struct slice name)
{
    for (int i = 0; i < names->count; i++)
        if (slice_eq(names->at[i], name))
            return true;
    if (names->count == PARAMETERS_MAX)
        return false;
    names->at[names->count++] = name;
    return true;
}

/* With each {name} as one harmless letter it is a path and a query. */
static const char *check_target(struct conf_parser *p, const char *target)
{
    char *plain = arena_bytes(p->arena, strlen(target) + 1), *to = plain;
    struct names names = {.count = 0};
    if (target[0] != '/')
        return "does not begin with /";
    for (const char *at = target; *at != '\0'; at++) {
        struct slice name = slice_of(at + 1, *at == '{' ? strcspn(at + 1, "{}") : 0);
        *to++ = *at == '{' ? 'x' : *at;
        if (*at != '{')
            continue;
        if (at[1 + name.len] != '}' || !conf_name_ok(name))
            return "names a parameter as {name}";
        if (!add_name(&names, name))
            return "has more than 64 parameters";
        at += 1 + name.len;
    }
    *to = '\0';
    return check_path(plain);
}

bool conf_set_target(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf_route *route = p->route;
    const char *wrong = check_target(p, d->args[1].text);
    if (wrong != NULL)
        return conf_error(p->err, d->args[1].pos, "the target \"%.100s\" %s", d->args[1].text, wrong);
    route->from = FROM_UPSTREAM;
    route->upstream_name = d->args[0].text;
    route->upstream_pos = d->args[0].pos;
    route->templates.at = arena_alloc(p->arena, sizeof *route->templates.at);
    route->templates.at[0] = d->args[1].text;
    route->templates.count = 1;
    return true;
}

bool conf_find_upstream(struct conf_parser *p, struct conf_route *route)
{
    route->upstream = find(p->conf, route->upstream_name);
    if (route->upstream == NULL)
        return conf_error(p->err, route->upstream_pos, "there is no upstream \"%.60s\"", route->upstream_name);
    return true;
}

/* ---- what is for SQL alone ---- */

static const char *const of_sql[] = {"sql",  "query",   "result", "status", "slow_query", "share",
                                     "plan", "combine", "target", "bigint", "errors",     "page"};

bool conf_row_of_sql(const struct conf_row *row)
{
    return row->context == CONF_IN_ROUTE && is_in(row->name, of_sql, ARRAY_LEN(of_sql));
}

bool conf_finish_source(struct conf_parser *p, const struct conf_block *block, const struct conf_route *route)
{
    for (size_t i = 0; i < ARRAY_LEN(of_sql) && route->from != FROM_SQL; i++) {
        const struct conf_directive *d = conf_seen(block, of_sql[i]);
        if (d != NULL)
            return conf_error(p->err, d->pos, "%s is for routes with SQL", d->name);
    }
    return true;
}
