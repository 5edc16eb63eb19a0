/* How much may be sent again. Requests earn a tenth of a repetition each, ten repetitions at most are saved up: an
 * upstream in trouble gets no more than a tenth on top. */
#ifndef WORKER_UPSTREAM_BUDGET_H
#define WORKER_UPSTREAM_BUDGET_H

#include "common/base.h"

enum { BUDGET_SAVED = 100, BUDGET_PRICE = 10 };

struct retry_budget {
    int saved;
};

void retry_budget_init(struct retry_budget *budget);
void retry_budget_earn(struct retry_budget *budget);
bool retry_budget_spend(struct retry_budget *budget) MUST_USE;

#endif
