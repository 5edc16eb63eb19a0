#include "common/clock.h"
#include "common/conf_parse.h"
#include "common/units.h"

#include <ctype.h>
#include <stdlib.h>

static struct conf_rate_limit *find(const struct conf *conf, const char *name)
{
    for (int i = 0; i < conf->rate_limit_count; i++)
        if (strcmp(conf->rate_limits[i].name, name) == 0)
            return &conf->rate_limits[i];
    return NULL;
}

/* The name stands in answers, as a string of a structured field. */
static bool check_name(struct conf_parser *p, const struct conf_arg *arg)
{
    const struct conf_rate_limit *same = find(p->conf, arg->text);
    if (!conf_name_ok(slice_str(arg->text)) || strcmp(arg->text, "off") == 0)
        return conf_error(p->err, arg->pos, "\"%.60s\" is no name: letters, digits and _, and not off", arg->text);
    if (same != NULL)
        return conf_error(p->err, arg->pos, "the rate_limit %s is given already at %s:%d:%d", arg->text, same->pos.file,
                          same->pos.line, same->pos.column);
    return true;
}

static bool check_all(struct conf_parser *p, const struct conf_block *block, const struct conf_rate_limit *limit)
{
    for (int i = 0; i < p->conf->rate_limit_count && limit->all; i++)
        if (&p->conf->rate_limits[i] != limit && p->conf->rate_limits[i].all)
            return conf_error(p->err, conf_seen(block, "routes")->pos, "the rate_limit %s is for all routes already",
                              p->conf->rate_limits[i].name);
    return true;
}

bool conf_set_rate_limit(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    struct conf *conf = p->conf;
    if (conf->rate_limit_count == CONF_RATE_LIMITS_MAX)
        return conf_error(p->err, d->pos, "there are %d rate_limits already; that is the most", CONF_RATE_LIMITS_MAX);
    if (conf->rate_limits == NULL)
        conf->rate_limits = arena_alloc(p->arena, CONF_RATE_LIMITS_MAX * sizeof *conf->rate_limits);
    if (!check_name(p, &d->args[0]))
        return false;
    struct conf_rate_limit *limit = &conf->rate_limits[conf->rate_limit_count++];
    struct conf_block block = {.context = CONF_IN_RATE_LIMIT, .target = limit};
    *limit = (struct conf_rate_limit){.name = d->args[0].text, .pos = d->pos};
    conf_apply_defaults(p, CONF_IN_RATE_LIMIT, limit);
    if (!conf_parse_block(p, &block, d))
        return false;
    if (limit->rate.count == 0)
        return conf_error(p->err, d->pos, "the rate_limit %s needs a rate such as 100/s", limit->name);
    if (limit->burst == 0)
        limit->burst = (int)limit->rate.count;
    return check_all(p, &block, limit);
}

bool conf_set_rate(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"/s", US_PER_S}, {"/m", 60 * US_PER_S}, {"/h", 3600 * US_PER_S}};
    struct conf_rate *rate = field;
    const char *text = d->args[0].text;
    char *end;
    long long count = isdigit((unsigned char)text[0]) ? strtoll(text, &end, 10) : -1;
    for (size_t i = 0; i < ARRAY_LEN(units) && count >= 0; i++)
        if (strcmp(end, units[i].unit) == 0)
            *rate = (struct conf_rate){count, units[i].us};
    if (rate->per_us == 0)
        return conf_error(p->err, d->args[0].pos, "\"%.40s\" is no rate such as 100/s, 6000/m or 10000/h", text);
    if (rate->count < row->min || rate->count > row->max)
        return conf_error(p->err, d->args[0].pos, "%s is outside %lld to %lld", row->name, (long long)row->min,
                          (long long)row->max);
    return true;
}

bool conf_set_rate_by(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const char **header = field;
    *header = d->count == 2 ? d->args[1].text : NULL;
    if (d->count == 1 && strcmp(d->args[0].text, "address") == 0)
        return true;
    if (d->count == 1 || strcmp(d->args[0].text, "header") != 0)
        return conf_error(p->err, d->args[0].pos, "%s is %s", row->name, row->arguments);
    for (const char *at = *header; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("-_", *at) == NULL)
            return conf_error(p->err, d->args[1].pos, "\"%.60s\" is no name of a header field", *header);
    return true;
}

bool conf_set_rate_limit_name(struct conf_parser *p, const struct conf_row *row, void *field,
                              const struct conf_directive *d)
{
    p->route->rate_limit_pos = d->args[0].pos;
    return conf_set_text(p, row, field, d);
}

/* It may stand behind the routes that name it. */
bool conf_finish_rate_limit(struct conf_parser *p, struct conf_route *route)
{
    const struct conf *conf = p->conf;
    for (int i = 0; i < conf->rate_limit_count && route->rate_limit == NULL; i++)
        if (conf->rate_limits[i].all)
            route->limit = &conf->rate_limits[i];
    if (route->rate_limit == NULL || strcmp(route->rate_limit, "off") == 0)
        return true;
    route->limit = find(conf, route->rate_limit);
    if (route->limit == NULL)
        return conf_error(p->err, route->rate_limit_pos, "there is no rate_limit %s", route->rate_limit);
    return true;
}
