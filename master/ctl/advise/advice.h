/* What perfctl advise has found. */
#ifndef MASTER_CTL_ADVISE_ADVICE_H
#define MASTER_CTL_ADVISE_ADVICE_H

#include "master/ctl/ctl.h"

struct conf;

enum advice_kind { ADVICE_INDEX, ADVICE_N_PLUS_1, ADVICE_POOL };

struct advices; /* of one run, all in its memory */

struct advices *advices_create(void) MUST_USE;
void advices_destroy(struct advices **advices);
/* route, or what else it is about. todo: SQL or a directive that would mend it. An advice with the same todo is there
 * once. */
void advices_add(struct advices *advices, enum advice_kind kind, const char *about, const char *todo, const char *fmt,
                 ...) PRINTF(5, 6);
/* CTL_FAILED, a warning, where there is any. */
enum ctl_exit advices_print(const struct advices *advices, const struct ctl *ctl);

/* Queries that read far more rows than they answer, for want of an index: by their plans, and by those that they would
 * have with the index, where the database has HypoPG. False: the database cannot be asked, as was said on stderr. */
bool advise_indexes(const struct ctl *ctl, const struct conf *conf, struct advices *advices) MUST_USE;
/* A consumer who asks for the same route again and again, with one key after the other. */
void advise_n_plus_1(const struct snapshot *figures, struct advices *advices);
/* A pool that requests wait for, by Little's law. */
void advise_pool(const struct snapshot *figures, struct advices *advices);

#endif
