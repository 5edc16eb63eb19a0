/* What a condition of EXPLAIN (VERBOSE) compares: `((posts.user_id = $1) AND (posts.created_at < $2))`. */
#ifndef MASTER_CTL_ADVISE_CONDITION_H
#define MASTER_CTL_ADVISE_CONDITION_H

#include "common/base.h"

enum compared { COMPARED_NOT, COMPARED_RANGE, COMPARED_EQUAL };

/* The column as it is, or cast, on either side of an operator that an index serves. What stands under an OR or a NOT is
 * served by none. alias and column as they stand in the condition. */
enum compared condition_compares(const char *condition, const char *alias, const char *column);

#endif
