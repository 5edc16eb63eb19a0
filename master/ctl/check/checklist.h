/* The production checklist: what an engineer looks at before consumers come, each item measured, with a verdict and
 * what to do about it. */
#ifndef MASTER_CTL_CHECK_CHECKLIST_H
#define MASTER_CTL_CHECK_CHECKLIST_H

#include "master/ctl/check/facts.h"

enum checklist_item {
#define ITEM(name, title) CHECKLIST_##name,
#include "master/ctl/check/checklist.def"
#undef ITEM
    CHECKLIST_ITEMS
};
enum finding_verdict { FINDING_OK, FINDING_LOOK, FINDING_BAD };

struct finding {
    enum finding_verdict verdict;
    char state[320];
    const char *todo; /* where it is not ok */
};

void checklist_find(enum checklist_item item, const struct facts *facts, struct finding *out);
/* Prints all items; CTL_CRITICAL where one is bad, CTL_FAILED where one is worth a look. */
enum ctl_exit checklist_print(const struct ctl *ctl, const struct facts *facts);

#endif
