/* The rules that perfctl check was given: by --rule and --warn, and in files. */
#ifndef MASTER_CTL_CHECK_RULES_H
#define MASTER_CTL_CHECK_RULES_H

#include "master/ctl/check/measure.h"
#include "master/ctl/ctl.h"

struct checked_rule {
    struct rule rule;
    bool warn;                     /* else it is critical */
    const char *origin;            /* "--rule", or the file */
    int line;                      /* of the file, from 1; 0: of none */
    enum rule_dimension dimension; /* of what follows */
    struct measure measure;
};

struct rules {
    struct checked_rule *at;
    int count;
};

/* False: one is wrong, or a file cannot be read, as was said on stderr. */
bool rules_read(const struct ctl *ctl, struct rules *out) MUST_USE;
void rules_deinit(struct rules *rules);
/* Says on stderr what is wrong with it, with a ^ below the byte. */
void rules_complain(const struct checked_rule *rule, const struct rule_error *error);

#endif
