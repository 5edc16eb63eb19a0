#include "common/conf_parse.h"

#include <ctype.h>

static bool set_strings(struct conf_parser *p, const struct conf_row *row, struct conf_strings *list,
                        const struct conf_directive *d, bool (*ok)(const char *text), const char *what)
{
    if (d->count > row->max)
        return conf_error(p->err, d->pos, "%s has %d values; %d at most", row->name, d->count, (int)row->max);
    list->at = arena_alloc(p->arena, (size_t)d->count * sizeof *list->at);
    list->count = d->count;
    for (int i = 0; i < d->count; i++) {
        list->at[i] = d->args[i].text;
        if (!ok(list->at[i]))
            return conf_error(p->err, d->args[i].pos, "\"%.60s\" is no %s", list->at[i], what);
    }
    return true;
}

/* As a browser writes it: scheme, host in lower case, a port that is not the scheme's own; "*." for names below. */
static bool is_origin(const char *text)
{
    if (strcmp(text, "*") == 0)
        return true;
    size_t skip = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
    const char *host = text + skip;
    if (skip == 0)
        return false;
    if (strncmp(host, "*.", 2) == 0)
        host += 2;
    size_t len = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    const char *port = host + len;
    if (len == 0 || (*port != '\0' && *port != ':'))
        return false;
    size_t digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
    return *port == '\0' || (digits > 0 && digits <= 5 && port[1 + digits] == '\0');
}

static bool is_token(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("!#$%&'*+-.^_`|~", *at) == NULL)
            return false;
    return text[0] != '\0';
}

bool conf_set_origins(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return set_strings(p, row, field, d, is_origin, "origin such as https://app.example:8443");
}

bool conf_set_tokens(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return set_strings(p, row, field, d, is_token, "name of a header field");
}

bool conf_finish_cors(struct conf_parser *p, const struct conf_block *block, const struct conf_directive *d)
{
    const struct conf_directive *origins = conf_seen(block, "origins");
    const struct conf_strings *list = &p->conf->cors.origins;
    if (origins == NULL)
        return conf_error(p->err, d->pos, "\"cors\" needs origins");
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->at[i], "*") == 0 && (list->count > 1 || p->conf->cors.credentials))
            return conf_error(p->err, origins->args[i].pos,
                              "origins * goes with no other origin and not with credentials");
    p->conf->cors.set = true;
    return true;
}
