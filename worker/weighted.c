#include "worker/weighted.h"

/* What stands before the separator; *rest goes on behind it. */
static struct slice cut(struct slice *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    struct slice part = slice_of(rest->at, end ? (size_t)(end - rest->at) : rest->len);
    size_t used = end ? part.len + 1 : part.len;
    *rest = slice_of(rest->at + used, rest->len - used);
    return slice_trimmed(part);
}

bool weighted_is(struct slice name, const char *word)
{
    return slice_same(name, slice_str(word));
}

/* "0", "0.5", "1.000"; -1: it is no weight. */
static int weight_of(struct slice text)
{
    int weight = 0, scale = WEIGHT_MOST;
    if (text.len == 0 || text.len > 5 || (text.at[0] != '0' && text.at[0] != '1') ||
        (text.len > 1 && text.at[1] != '.'))
        return -1;
    weight = (text.at[0] - '0') * scale;
    for (size_t i = 2; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        scale /= 10;
        weight += (text.at[i] - '0') * scale;
    }
    return weight <= WEIGHT_MOST ? weight : -1;
}

/* Of what stands behind the name: `; q=0.5`. */
static int weight_in(struct slice params)
{
    while (params.len > 0) {
        struct slice param = cut(&params, ';');
        if (param.len >= 2 && (param.at[0] == 'q' || param.at[0] == 'Q') && param.at[1] == '=')
            return MAX(weight_of(slice_of(param.at + 2, param.len - 2)), 0);
    }
    return WEIGHT_MOST;
}

bool weighted_next(struct slice *list, struct weighted *out)
{
    if (list->len == 0)
        return false;
    struct slice params = cut(list, ',');
    out->name = cut(&params, ';');
    out->weight = weight_in(params);
    return true;
}
