#include "common/conf_parse.h"
#include "common/redis_url.h"
#include "common/units.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { UNIX_PATH_BYTES = 108 };

static bool bad_address(struct conf_parser *p, const struct conf_arg *arg, const char *why)
{
    return conf_error(p->err, arg->pos, "\"%.100s\" is not an address such as 127.0.0.1:8080, [::1]:8080 or *:8080: %s",
                      arg->text, why);
}

/* The host in its canonical form, or NULL. */
static const char *canonical_host(struct conf_parser *p, const char *host, bool v6)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    int family = v6 ? AF_INET6 : AF_INET;
    if (!v6 && strcmp(host, "*") == 0)
        host = "0.0.0.0";
    if (inet_pton(family, host, &address) != 1)
        return NULL;
    CHECK(inet_ntop(family, &address, text, sizeof text) != NULL);
    return arena_str(p->arena, slice_str(text));
}

/* sun_path has room for 108 bytes, with its NUL. */
static bool read_path(struct conf_parser *p, const struct conf_arg *arg, struct conf_listen *out)
{
    const char *path = arg->text + 5;
    if (*path == '\0')
        return conf_error(p->err, arg->pos, "unix: needs a path");
    out->path = conf_resolve(p, path, arg->pos.file);
    if (strlen(out->path) >= UNIX_PATH_BYTES)
        return conf_error(p->err, arg->pos, "the path of a unix socket has at most %d bytes; this one has %zu",
                          UNIX_PATH_BYTES - 1, strlen(out->path));
    return true;
}

static bool is_same(const struct conf_listen *a, const struct conf_listen *b)
{
    if (a->path != NULL || b->path != NULL)
        return a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0;
    return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

static bool read_address(struct conf_parser *p, const struct conf_arg *arg, struct conf_listen *out)
{
    int64_t port;
    const char *text = arg->text, *colon = strrchr(text, ':');
    out->pos = arg->pos;
    if (strncmp(text, "unix:", 5) == 0)
        return read_path(p, arg, out);
    out->v6 = text[0] == '[';
    if (colon == NULL || (out->v6 && colon[-1] != ']'))
        return bad_address(p, arg, "it needs a host and a port");
    if (unit_parse_int(colon + 1, &port) != NULL || port < 1 || port > 65535)
        return bad_address(p, arg, "a port is 1 to 65535");
    struct slice host = slice_of(text + out->v6, (size_t)(colon - text) - 2 * (size_t)out->v6);
    const char *name = arena_str(p->arena, host);
    out->host = canonical_host(p, name, out->v6);
    out->port = arena_printf(p->arena, "%d", (int)port);
    if (out->host == NULL && strcmp(name, "localhost") == 0)
        return bad_address(p, arg, "localhost is 127.0.0.1 here");
    if (out->host == NULL)
        return bad_address(
            p, arg, !out->v6 && strchr(name, ':') ? "a v6 address stands in brackets" : "the host must be numeric");
    return true;
}

bool conf_set_listens(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row;
    struct conf_listens *list = field;
    list->at = arena_alloc(p->arena, (size_t)d->count * sizeof *list->at);
    list->count = d->count;
    for (int i = 0; i < d->count; i++) {
        struct conf_listen *now = &list->at[i];
        if (!read_address(p, &d->args[i], now))
            return false;
        for (int j = 0; j < i; j++)
            if (is_same(&list->at[j], now))
                return conf_error(p->err, now->pos, "\"%s\" stands twice", d->args[i].text);
    }
    return true;
}

bool conf_set_nets(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    struct conf_nets *nets = field;
    if (d->count > row->max)
        return conf_error(p->err, d->pos, "%s has %d values; %d at most", row->name, d->count, (int)row->max);
    nets->at = arena_alloc(p->arena, (size_t)d->count * sizeof *nets->at);
    nets->texts = arena_alloc(p->arena, (size_t)d->count * sizeof *nets->texts);
    nets->count = d->count;
    for (int i = 0; i < d->count; i++)
        nets->at[i].bits = NET_NONE;
    for (int i = 0; i < d->count; i++) {
        nets->texts[i] = d->args[i].text;
        if (strcmp(d->args[i].text, "unix:") == 0)
            nets->local = true; /* its net stays what no address is in */
        else if (!net_parse(d->args[i].text, &nets->at[i]))
            return conf_error(p->err, d->args[i].pos,
                              "\"%.60s\" is no address or network such as 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32",
                              d->args[i].text);
    }
    return true;
}

bool conf_set_database_url(struct conf_parser *p, const struct conf_row *row, void *field,
                           const struct conf_directive *d)
{
    const char *url = d->args[0].text;
    bool scheme = strstr(url, "://") != NULL;
    /* The url is not repeated in an error: it may hold a password. */
    if (scheme ? strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0
               : strchr(url, '=') == NULL)
        return conf_error(p->err, d->args[0].pos,
                          "a database's url begins with postgresql:// or is a string of libpq's key=value words");
    return conf_set_text(p, row, field, d);
}

bool conf_set_redis_url(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    struct redis_url url;
    struct err why;
    if (!redis_url_parse(d->args[0].text, &url, &why))
        return conf_error(p->err, d->args[0].pos, "%s", why.text);
    return conf_set_text(p, row, field, d);
}
