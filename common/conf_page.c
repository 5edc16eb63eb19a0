#include "common/conf_parse.h"
#include "common/units.h"

#include <math.h>

/* Of `limit`, where its param line does not say. */
enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 200 };
/* So that a literal of it, and one more, is an int4. */
#define LIMIT_MOST 1e6

/* NAME, NAME:asc or NAME:desc. */
static bool read_key(struct conf_parser *p, const struct conf_arg *arg, struct conf_key *key)
{
    const char *colon = strrchr(arg->text, ':');
    size_t len = colon ? (size_t)(colon - arg->text) : strlen(arg->text);
    bool ascending = colon == NULL || strcmp(colon, ":asc") == 0;
    *key = (struct conf_key){arena_str(p->arena, slice_of(arg->text, len)), !ascending, arg->pos};
    if (!ascending && strcmp(colon, ":desc") != 0)
        return conf_error(p->err, arg->pos, "\"%.40s\" is neither asc nor desc%s", colon + 1,
                          conf_suggest(p, "asc | desc", colon + 1));
    return len > 0 || conf_error(p->err, arg->pos, "a key of a page is COLUMN:asc or COLUMN:desc");
}

bool conf_set_page(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    struct conf_page *page = field;
    if (strcmp(d->args[0].text, "keyset") != 0)
        return conf_error(p->err, d->args[0].pos, "\"%.40s\" is no kind of pages: %s %s", d->args[0].text, row->name,
                          row->arguments);
    if (d->count - 1 > row->max)
        return conf_error(p->err, d->args[row->max + 1].pos, "%s takes %d columns at most", row->name, (int)row->max);
    page->pos = d->pos;
    page->keys = arena_alloc(p->arena, (size_t)(d->count - 1) * sizeof *page->keys);
    for (int i = 1; i < d->count; i++) {
        struct conf_key *key = &page->keys[page->key_count];
        if (!read_key(p, &d->args[i], key))
            return false;
        for (const struct conf_key *k = page->keys; k < key; k++)
            if (strcmp(k->column, key->column) == 0)
                return conf_error(p->err, key->pos, "the column \"%.100s\" stands twice", key->column);
        page->key_count++;
    }
    return true;
}

static bool finish_limit(struct conf_parser *p, struct conf_param *limit)
{
    int64_t preset = LIMIT_DEFAULT;
    const char *bad = limit->default_text ? unit_parse_int(limit->default_text, &preset) : NULL;
    if (bad != NULL)
        return conf_error(p->err, limit->pos, "the limit of a page: the default \"%.100s\" %s", limit->default_text,
                          bad);
    if (!limit->has_min)
        limit->min = 1;
    if (!limit->has_max)
        limit->max = fmax(fmax(LIMIT_MAX, limit->min), limit->default_text ? (double)preset : 0);
    limit->has_min = limit->has_max = true;
    if (limit->min < 1 || limit->max > LIMIT_MOST || limit->min != floor(limit->min) || limit->max != floor(limit->max))
        return conf_error(p->err, limit->pos, "the limit of a page is a whole number between 1 and 1000000");
    if (limit->default_text != NULL && ((double)preset < limit->min || (double)preset > limit->max))
        return conf_error(p->err, limit->pos, "the limit of a page: the default %s is out of bounds",
                          limit->default_text);
    if (limit->default_text == NULL && !limit->required)
        limit->default_text = arena_printf(p->arena, "%d", (int)MAX(MIN((double)preset, limit->max), limit->min));
    return true;
}

bool conf_finish_page(struct conf_parser *p, struct conf_route *route)
{
    const struct conf_page *page = &route->page;
    if (page->key_count == 0)
        return true;
    if (route->method != METHOD_GET)
        return conf_error(p->err, page->pos, "only a GET has pages");
    if (route->result != RESULT_ROWS)
        return conf_error(p->err, page->pos, "only result rows comes in pages");
    for (int i = 0; i < route->param_count; i++)
        if (strcmp(route->params[i].name, CONF_PAGE_CURSOR) == 0)
            return conf_error(p->err, route->params[i].pos, "the cursor of a page takes no rules");
    return finish_limit(p, conf_param_of(p, route, CONF_PAGE_LIMIT));
}
