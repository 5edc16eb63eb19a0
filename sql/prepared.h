/* Which statements one connection has prepared. Names carry a generation, so that after a loss (26000) or a changed
 * plan (0A000) every statement is prepared anew under a name that the server cannot still know. */
#ifndef SQL_PREPARED_H
#define SQL_PREPARED_H

#include "common/base.h"

enum { PREPARED_NAME_MAX = 32 };

struct prepared {
    struct prepared_entry *at; /* by id */
    uint32_t count;
    uint32_t generation;
};

void prepared_deinit(struct prepared *p);
bool prepared_has(const struct prepared *p, uint32_t id);
/* Prepared, as far as we know, in the present generation. Returns its name. */
const char *prepared_set(struct prepared *p, uint32_t id);
void prepared_unset(struct prepared *p, uint32_t id);
void prepared_forget_all(struct prepared *p);
/* Of a statement that it has; valid until the next prepared_set(). */
const char *prepared_name(const struct prepared *p, uint32_t id);

#endif
