#include "worker/refusal.h"
#include "common/clock.h"
#include "common/log.h"

#include <ctype.h>
#include <stdlib.h>

static void set(struct request *r, int status, const char *code, const char *detail)
{
    r->problem.status = status;
    r->problem.code = code;
    r->problem.detail = detail;
}

static const char *copy(struct request *r, const char *text)
{
    return text ? arena_str(r->arena, slice_str(text)) : NULL;
}

/* The value of $N was refused before the statement ran: the consumer's fault, and we know whose value it is. */
static void refuse_param(struct request *r, const struct pool_outcome *outcome)
{
    const struct query *query = r->route->query;
    const struct query_statement *statement = &query->statements[outcome->failed_statement];
    int i = outcome->bind_param - 1;
    const char *name = i < statement->param_count ? query->names[statement->params[i]] : CONF_PAGE_CURSOR;
    set(r, 400, "bad_parameter", NULL);
    problem_add(&r->problem, r->arena, name, -1, copy(r, outcome->message));
}

struct refusal {
    const char *state; /* SQLSTATE, or its first two characters */
    int status;
    const char *code, *detail;
};

/* Whole states before their classes. */
static const struct refusal refusals[] = {
    {"23505", 409, "conflict", "something with the same unique value exists already"},
    {"23503", 409, "conflict", "what this refers to does not exist, or is still referred to"},
    {"23", 422, "unprocessable", "the value does not meet a rule of the data"},
    {"22", 422, "unprocessable", "the value cannot be processed"},
    {"40", 503, "serialization_failure", "the data changed meanwhile; try again"},
    {"57014", 504, "timeout", "the query took longer than its time-out"},
    {"57", 503, "database_unavailable", "the database is going down or starting"},
    {"53", 503, "database_unavailable", "the database is out of a resource"},
    {"08", 503, "database_unavailable", "the connection to the database broke"},
};

static const struct refusal *find(const char *state)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (strncmp(state, refusals[i].state, strlen(refusals[i].state)) == 0)
            return &refusals[i];
    return NULL;
}

/* RAISE ... USING ERRCODE = 'PT404': the query's own words for the consumer. */
static bool raised(struct request *r, const struct pool_outcome *outcome)
{
    const char *state = outcome->sqlstate;
    if (strncmp(state, "PT", 2) != 0 || !isdigit((unsigned char)state[2]) || !isdigit((unsigned char)state[3]) ||
        !isdigit((unsigned char)state[4]))
        return false;
    int status = atoi(state + 2);
    if (status < 400 || status > 599)
        return false;
    set(r, status, "raised", copy(r, outcome->message));
    return true;
}

/* Where the primary should be is a standby, or an admin forbade writing. */
static const struct refusal read_only_server = {"25006", 503, "database_read_only",
                                                "the database takes no writes for now"};

static void refuse_sql(struct request *r, const struct pool_outcome *outcome)
{
    memcpy(r->sqlstate, outcome->sqlstate, sizeof r->sqlstate);
    bool unwritable = r->method != METHOD_GET && strcmp(outcome->sqlstate, "25006") == 0;
    const struct refusal *refusal = unwritable ? &read_only_server : find(outcome->sqlstate);
    if (raised(r, outcome))
        return;
    if (outcome->bind_param > 0 && outcome->failed_statement < r->route->query->statement_count) {
        refuse_param(r, outcome);
        return;
    }
    if (outcome->cancelled)
        set(r, 503, "cancelled", "the query was cancelled in the database; try again");
    else if (refusal != NULL)
        set(r, refusal->status, refusal->code, refusal->detail);
    else
        set(r, 500, "query_failed", "the query failed; its operator finds the reason in the error log");
    if (refusal == NULL || r->problem.status == 503)
        route_log_refusal(r->route, outcome, true);
    if (r->route->conf->errors_verbose)
        r->problem.detail = arena_printf(r->arena, "%s%s%s", outcome->message, outcome->detail ? ": " : "",
                                         outcome->detail ? outcome->detail : "");
}

void refusal_of(struct request *r, const struct pool_outcome *outcome)
{
    switch (outcome->fail) {
    case POOL_OK:
        CHECK(!"an outcome with rows is no refusal");
        break;
    case POOL_REJECTED:
        set(r, 503, "overloaded", "too many requests wait for the database");
        break;
    case POOL_DOWN:
        set(r, 503, "database_unavailable", "the database cannot be reached");
        break;
    case POOL_TIMEOUT:
        set(r, 504, "timeout",
            outcome->run_us > 0 ? "the database gave no answer in time" : "waited too long for a database connection");
        break;
    case POOL_SQL:
        refuse_sql(r, outcome);
        break;
    case POOL_STOPPED: /* nobody sees it */
        set(r, 503, "stopped", NULL);
        break;
    }
}
