/* A condition as EXPLAIN (VERBOSE) writes it: `((posts.user_id = $1) AND (posts.created_at < $2))`, looked at for what
 * an index serves. Constants and quoted names may hold anything. What stands under an OR or a NOT is served by none. */
#ifndef MASTER_CTL_ADVISE_CONDITION_H
#define MASTER_CTL_ADVISE_CONDITION_H

#include "common/arena.h"

enum compared { COMPARED_NOT, COMPARED_RANGE, COMPARED_EQUAL };

/* Names are as SQL quotes them. */
struct condition_column {
    const char *alias, *name;
    const char *type; /* that a btree index compares its values as, as casts call it; "": none has it */
};

/* How the column, as it is or cast to that type, is compared with what is not of its own row. */
enum compared condition_compares(const char *condition, const struct condition_column *column);
/* The first expression over the row of that alias that is compared so, as an index has it: `lower(email)` of
 * `(lower(users.email) = $1)`. Whether an index can have it, PostgreSQL knows. NULL: there is none. */
const char *condition_expression(const char *condition, const char *alias, struct arena *arena);

#endif
