#include "worker/cache_control.h"

struct directive {
    struct slice name, value; /* value: without its quotes; empty: none */
};

/* Takes one element off the list, up to a comma outside quotes. False: a quote is not closed. */
static bool take_element(struct slice *list, struct slice *element_out)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < list->len && (quoted || list->at[i] != ','); i++) {
        if (list->at[i] == '"')
            quoted = !quoted;
        else if (quoted && list->at[i] == '\\')
            i++;
    }
    i = MIN(i, list->len);
    *element_out = slice_trimmed(slice_of(list->at, i));
    size_t used = MIN(i + 1, list->len);
    *list = slice_of(list->at + used, list->len - used);
    return !quoted;
}

static struct directive split(struct slice element)
{
    const char *equals = memchr(element.at, '=', element.len);
    if (equals == NULL)
        return (struct directive){element, {"", 0}};
    size_t len = (size_t)(equals - element.at);
    struct slice value = slice_trimmed(slice_of(equals + 1, element.len - len - 1));
    if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
        value = slice_of(value.at + 1, value.len - 2);
    return (struct directive){slice_trimmed(slice_of(element.at, len)), value};
}

int64_t cache_control_seconds(struct slice text)
{
    int64_t seconds = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return CACHE_CONTROL_NONE;
        seconds = MIN(seconds * 10 + text.at[i] - '0', CACHE_CONTROL_SECONDS_MAX);
    }
    return text.len > 0 ? seconds : CACHE_CONTROL_NONE;
}

/* The first one of its name counts. */
static void set_seconds(int64_t *field, const struct directive *d)
{
    if (*field == CACHE_CONTROL_NONE)
        *field = MAX(cache_control_seconds(d->value), INT64_C(0));
}

static void take(struct cache_control *cc, const struct directive *d)
{
    const struct {
        const char *name;
        bool *flag;
        int64_t *seconds;
    } known[] = {{"no-store", &cc->no_store, NULL},
                 {"no-cache", &cc->no_cache, NULL},
                 {"private", &cc->is_private, NULL},
                 {"public", &cc->is_public, NULL},
                 {"must-revalidate", &cc->must_revalidate, NULL},
                 {"proxy-revalidate", &cc->proxy_revalidate, NULL},
                 {"must-understand", &cc->must_understand, NULL},
                 {"max-age", NULL, &cc->max_age_s},
                 {"s-maxage", NULL, &cc->s_maxage_s},
                 {"stale-while-revalidate", NULL, &cc->stale_while_revalidate_s},
                 {"stale-if-error", NULL, &cc->stale_if_error_s}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!slice_same(d->name, slice_str(known[i].name)))
            continue;
        if (known[i].flag != NULL)
            *known[i].flag = true;
        else
            set_seconds(known[i].seconds, d);
    }
}

struct cache_control cache_control_parse(struct slice list)
{
    struct cache_control cc = {.max_age_s = CACHE_CONTROL_NONE,
                               .s_maxage_s = CACHE_CONTROL_NONE,
                               .stale_while_revalidate_s = CACHE_CONTROL_NONE,
                               .stale_if_error_s = CACHE_CONTROL_NONE};
    while (list.len > 0) {
        struct slice element;
        if (!take_element(&list, &element)) {
            cc.no_store = true;
            break;
        }
        struct directive d = split(element);
        take(&cc, &d);
    }
    return cc;
}
