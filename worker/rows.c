#include "worker/rows.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/doing.h"
#include "worker/page.h"
#include "worker/permit.h"
#include "worker/refusal.h"

struct pool_work rows_work(const struct request *r)
{
    struct pool_work work = {.statements = r->route->statements,
                             .statement_count = r->route->query->statement_count,
                             .values = params_bind(r->route, r->values, r->arena),
                             .read_only = r->method == METHOD_GET,
                             .plan = r->route->conf->plan,
                             .owner = r->route,
                             .lease = r->permit ? &r->permit->lease : NULL,
                             .timeout_us = r->route->conf->timeout_us,
                             .deadline_us = r->deadline_us};
    if (r->page != NULL)
        page_work(r, &work);
    return work;
}

static bool fail(struct request *r, int status, const char *code, const char *detail)
{
    r->problem.status = status;
    r->problem.code = code;
    r->problem.detail = detail;
    return false;
}

static bool operator_fault(struct request *r, const char *what)
{
    const struct conf_pos *pos = &r->route->conf->sql_pos;
    if (route_may_log(r->route))
        log_error("%s:%d:%d: %s: %s", pos->file, pos->line, pos->column, r->route->conf->name, what);
    return fail(r, 500, "query_failed", "the query failed; its operator finds the reason in the error log");
}

static void refuse(struct request *r, const struct pool_outcome *outcome)
{
    struct pool_outcome mine = *outcome;
    if (r->page != NULL)
        page_locate(r, &mine);
    refusal_of(r, &mine);
}

void rows_refuse(struct request *r, const struct pool_outcome *outcome, const char *wrong)
{
    if (outcome->fail != POOL_OK)
        refusal_of(r, outcome);
    else
        operator_fault(r, wrong);
}

bool rows_read(struct request *r, const struct pool_outcome *outcome, struct buf *body_out)
{
    struct err err;
    doing_for(DOING_rows, r->route->row);
    r->wait_us = outcome->wait_us;
    r->run_us = outcome->run_us;
    if (outcome->fail != POOL_OK) {
        refuse(r, outcome);
        return false;
    }
    if (r->route->conf->result == RESULT_NONE)
        return true;
    const PGresult *result = outcome->results[r->route->answer];
    struct encode_plan *plan = route_plan(r->route, result, &err);
    if (plan == NULL)
        return operator_fault(r, err.text);
    int shown = r->page != NULL ? page_take(r, result, &err) : PQntuples(result);
    if (shown < 0)
        return operator_fault(r, err.text);
    int rows = encode_first(plan, r->format, result, shown, body_out);
    if (r->route->conf->result == RESULT_ROWS || rows == 1)
        return true;
    if (rows == 0)
        return fail(r, 404, "not_found", "there is no such row");
    return operator_fault(r, "the query gave more than one row where the route's result is one");
}
