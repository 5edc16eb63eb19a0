#include "common/conf_parse.h"
#include "common/units.h"

#include <regex.h>

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;
    CHECK(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0); /* conf_set_pattern() tried it */
    bool ok = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return ok;
}

static int64_t characters(const char *text)
{
    int64_t count = 0;
    for (; *text != '\0'; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static bool listed(const struct conf_strings *list, const char *text)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->at[i], text) == 0)
            return true;
    return list->count == 0;
}

/* A default that its own rules refuse would answer 400 to every request that leaves the parameter out. NULL: it fits.
 */
static const char *refuses_default(const struct conf_param *param)
{
    double value;
    const char *text = param->default_text;
    if ((param->has_min || param->has_max) && unit_parse_number(text, &value) != NULL)
        return "is not a number";
    if (param->has_min && value < param->min)
        return "is below min";
    if (param->has_max && value > param->max)
        return "is above max";
    if (!listed(&param->enum_values, text))
        return "is not in enum";
    if (param->max_length > 0 && characters(text) > param->max_length)
        return "is longer than max_length";
    return param->pattern == NULL || matches(param->pattern, text) ? NULL : "does not match pattern";
}

static bool check_param(struct conf_parser *p, const struct conf_block *options, const struct conf_param *param)
{
    const struct conf_directive *preset = conf_seen(options, "default"), *min = conf_seen(options, "min");
    if (param->has_min && param->has_max && param->min > param->max)
        return conf_error(p->err, min->args[0].pos, "min is above max");
    if (preset == NULL)
        return true;
    if (param->required)
        return conf_error(p->err, preset->args[0].pos, "a required parameter has no default");
    const char *bad = refuses_default(param);
    return bad ? conf_error(p->err, preset->args[0].pos, "the default \"%.100s\" %s", param->default_text, bad) : true;
}

static struct conf_param *add_param(struct conf_parser *p, struct conf_route *route)
{
    if ((route->param_count & (route->param_count - 1)) == 0) { /* full at each power of two */
        struct conf_param *more = arena_alloc(p->arena, (size_t)MAX(2 * route->param_count, 1) * sizeof *more);
        if (route->param_count > 0)
            memcpy(more, route->params, (size_t)route->param_count * sizeof *more);
        route->params = more;
    }
    return &route->params[route->param_count++];
}

struct conf_param *conf_param_of(struct conf_parser *p, struct conf_route *route, const char *name)
{
    for (int i = 0; i < route->param_count; i++)
        if (strcmp(route->params[i].name, name) == 0)
            return &route->params[i];
    struct conf_param *param = add_param(p, route);
    param->name = name;
    param->pos = route->pos;
    return param;
}

bool conf_set_param(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row, (void)field;
    const struct conf_arg *name = &d->args[0];
    if (!conf_name_ok(slice_str(name->text)))
        return conf_error(p->err, name->pos, "\"%.100s\" is no parameter's name: letters, digits and _, at most 63",
                          name->text);
    for (int i = 0; i < p->route->param_count; i++)
        if (strcmp(p->route->params[i].name, name->text) == 0)
            return conf_error(p->err, name->pos, "param \"%s\" is given twice; first at %s:%d:%d", name->text,
                              p->route->params[i].pos.file, p->route->params[i].pos.line,
                              p->route->params[i].pos.column);
    struct conf_param *param = add_param(p, p->route);
    struct conf_block options = {.context = CONF_IN_PARAM, .target = param};
    param->name = name->text;
    param->pos = name->pos;
    if (!conf_parse_options(p, &options, d, 1))
        return false;
    param->has_min = conf_seen(&options, "min") != NULL;
    param->has_max = conf_seen(&options, "max") != NULL;
    return check_param(p, &options, param);
}
