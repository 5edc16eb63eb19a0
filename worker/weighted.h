/* The lists of what a consumer takes, each with a weight: Accept, Accept-Encoding. RFC 9110 12.4.2, 12.5. */
#ifndef WORKER_WEIGHTED_H
#define WORKER_WEIGHTED_H

#include "common/slice.h"

enum { WEIGHT_MOST = 1000 };

struct weighted {
    struct slice name; /* without its parameters */
    int weight;        /* in thousandths; a weight that is none counts as 0, refused */
};

/* False: the list is at its end; else *list goes on behind the member. */
bool weighted_next(struct slice *list, struct weighted *out) MUST_USE;
bool weighted_is(struct slice name, const char *word); /* whatever the case */

#endif
