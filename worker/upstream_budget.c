#include "worker/upstream_budget.h"

void retry_budget_init(struct retry_budget *budget)
{
    budget->saved = BUDGET_SAVED;
}

void retry_budget_earn(struct retry_budget *budget)
{
    budget->saved = MIN(budget->saved + 1, BUDGET_SAVED);
}

bool retry_budget_spend(struct retry_budget *budget)
{
    if (budget->saved < BUDGET_PRICE)
        return false;
    budget->saved -= BUDGET_PRICE;
    return true;
}
