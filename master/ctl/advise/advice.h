/* What perfctl advise has found, and what it could not look at. */
#ifndef MASTER_CTL_ADVISE_ADVICE_H
#define MASTER_CTL_ADVISE_ADVICE_H

#include "master/ctl/ctl.h"

struct conf;

enum advice_kind {
#define ADVICE(kind, name) ADVICE_##kind,
#include "master/ctl/advise/advice.def"
#undef ADVICE
    ADVICE_KINDS
};

struct advice {
    enum advice_kind kind;
    char *about; /* a route, several parted by commas, or what else it is about */
    char *found, *todo;
};

struct advices; /* of one run, all in its memory */

struct advices *advices_create(void) MUST_USE;
void advices_destroy(struct advices **advices);
/* fmt: what was found. todo: SQL, a directive or words that would mend it. What an index there already does for another
 * route stands there once: the longer one takes the place of the one with its first columns. */
void advices_add(struct advices *advices, enum advice_kind kind, const char *about, const char *todo, const char *fmt,
                 ...) PRINTF(5, 6);
/* Of this nothing can be said, and why. */
void advices_unknown(struct advices *advices, const char *about, const char *fmt, ...) PRINTF(3, 4);
int advices_count(const struct advices *advices);
const struct advice *advices_at(const struct advices *advices, int i); /* in the order in which they came */
int advices_unknown_count(const struct advices *advices);

/* Queries that read all of a table to find few of its rows, for want of an index: by their plans, and by those that
 * they would have with the index, where the database has HypoPG. False: the database cannot be asked, as err says. */
bool advise_indexes(const struct conf *conf, const char *url, int64_t timeout_us, struct advices *advices,
                    struct err *err) MUST_USE;
/* A consumer who asks for the same route again and again, with one key after the other. */
void advise_n_plus_1(const struct snapshot *figures, struct advices *advices);
/* A pool that requests wait for, by Little's law. */
void advise_pool(const struct snapshot *figures, struct advices *advices);
/* Routes whose ttl or tti ends answers that are asked for again soon. */
void advise_cache(const struct snapshot *figures, const struct conf *conf, struct advices *advices);

#endif
