/* A text of perfd.conf with parameters in braces: a route's path, a tag user:{id}, an upstream's target
 * /v1/{ip}?lang={lang}. */
#ifndef COMMON_TEMPLATE_H
#define COMMON_TEMPLATE_H

#include "common/slice.h"

struct template_part {
    struct slice text; /* in front of the name */
    struct slice name; /* empty: the template ends here */
};

/* The next part, from *at, which it moves; false: there is none. A brace without its other one is text. */
static inline bool template_next(const char **at, struct template_part *part_out)
{
    const char *start = *at, *open = strchr(start, '{'), *close = open ? strchr(open, '}') : NULL;
    if (*start == '\0')
        return false;
    *part_out = close ? (struct template_part){slice_of(start, (size_t)(open - start)),
                                               slice_of(open + 1, (size_t)(close - open - 1))}
                      : (struct template_part){slice_str(start), slice_of("", 0)};
    *at = close ? close + 1 : start + strlen(start);
    return true;
}

static inline bool template_has(const char *template, const char *name)
{
    for (struct template_part part; template_next(&template, &part);)
        if (slice_is(part.name, name))
            return true;
    return false;
}

#endif
