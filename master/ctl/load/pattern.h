/* A text with variables in braces: /api/users/{user}/posts. Braces around anything but a name of small letters and _
 * are text, so that JSON needs no escapes. */
#ifndef CTL_LOAD_PATTERN_H
#define CTL_LOAD_PATTERN_H

#include "common/buf.h"
#include "master/ctl/load/variable.h"

struct pattern {
    struct pattern_part {
        struct slice text; /* in front of the variable */
        int variable;      /* -1: the pattern ends here */
    } * parts;
    int count;
    uint64_t used; /* bit i: variable i */
};

/* text lives as long as the pattern. With json, "{name}" in quotes that hold nothing else becomes the number, without
 * them. False: the text has a variable that there is not; its name is in err. */
bool pattern_create(struct slice text, const struct variables *variables, bool json, struct arena *arena,
                    struct pattern *out, struct err *err) MUST_USE;
/* values: by the variable's index; those that are used must be set. */
void pattern_write(const struct pattern *pattern, const int64_t *values, struct buf *out);

#endif
