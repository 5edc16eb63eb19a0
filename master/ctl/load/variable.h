/* What changes from request to request: the user that is looked at, a number that is never the same. All are whole
 * numbers. A draw depends on the seed and the number of the request alone, so that two runs with one seed ask for the
 * same in the same order, whatever the server's pace. */
#ifndef CTL_LOAD_VARIABLE_H
#define CTL_LOAD_VARIABLE_H

#include "master/ctl/load/node.h"

/* KIND(name, has_from, has_to, has_step) */
#define VARIABLE_KINDS(KIND)                                                                                           \
    KIND(uniform, true, true, true)      /* from, from + step ... up to `to`, each as likely */                        \
    KIND(log_uniform, true, true, false) /* as likely below 10 as from 1,000 to 10,000 */                              \
    KIND(counter, true, false, true)     /* from + step x number of the request */                                     \
    KIND(time_ms, false, false, false)   /* wall clock, since 1970 */

enum variable_kind {
#define KIND(name, from, to, step) VARIABLE_##name,
    VARIABLE_KINDS(KIND)
#undef KIND
};

struct variable {
    const char *name;
    enum variable_kind kind;
    int64_t from, to, step;
};

enum { VARIABLES_MAX = 32 };

struct variables {
    struct variable all[VARIABLES_MAX];
    int count;
};

/* Random numbers of one request (splitmix64). */
struct dice {
    uint64_t state;
};

struct dice dice_of(uint64_t seed, uint64_t number);
double dice_roll(struct dice *dice); /* 0 <= r < 1 */

/* The object of variables in a scenario; those that say so have `to` times scale. */
bool variables_read(const struct node *node, int64_t scale, struct variables *out, struct err *err) MUST_USE;
int variables_find(const struct variables *variables, struct slice name); /* -1: there is none */
int64_t variable_draw(const struct variable *variable, struct dice *dice, uint64_t number, int64_t wall_us);

#endif
