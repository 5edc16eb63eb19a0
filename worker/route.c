#include "worker/route.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/template.h"
#include "sql/type.h"
#include "sql/wording.h"
#include "worker/combine.h"
#include "worker/page.h"
#include "worker/variant.h"

#include <stdlib.h>

#define RETRY_US US_PER_S

static const struct conf_param *rule_of(const struct conf_route *conf, const char *name)
{
    for (int i = 0; i < conf->param_count; i++)
        if (strcmp(conf->params[i].name, name) == 0)
            return &conf->params[i];
    return NULL;
}

static void prepare_names(struct route *route)
{
    const struct query *query = route->query;
    size_t count = (size_t)query->name_count;
    route->rules = arena_alloc(route->arena, count * sizeof *route->rules);
    route->in_path = arena_alloc(route->arena, count * sizeof *route->in_path);
    route->types = arena_alloc(route->arena, count * sizeof *route->types);
    for (int i = 0; i < query->name_count; i++) {
        route->rules[i] = rule_of(route->conf, query->names[i]);
        route->types[i] = route->conf->from == FROM_SQL ? 0 : OID_TEXT;
        route->in_path[i] = template_has(route->conf->path, query->names[i]);
    }
}

/* False: a query that does not parse. */
static bool read_query(struct route *route)
{
    struct err err;
    if (route->conf->from != FROM_SQL) {
        route->query = query_of_templates(&route->conf->templates, route->arena);
        route->state = ROUTE_READY;
        return true;
    }
    route->query = query_parse(slice_str(route->conf->sql_text), route->arena, &err);
    if (route->query != NULL && (route->conf->page.key_count == 0 || page_extend(route, &err)))
        return true;
    route->state = ROUTE_BAD;
    route->problem = err;
    log_error("%s:%s", route->conf->sql_pos.file, err.text);
    return false;
}

static void route_init(struct route *route, struct service *service, int index, uint32_t *next_id)
{
    route->service = service;
    route->conf = &service->conf->routes[index];
    route->row = service->start->route_rows[index];
    route->permit_row = service->start->permit_rows[index];
    route->own_tag = purge_route_slot(route->conf->name);
    route->arena = arena_create();
    route->answer = -1;
    if (route->conf->from == FROM_UPSTREAM) {
        route->always = variant_always(&route->conf->upstream->forward);
        route->credentials = variant_credentials(&route->conf->upstream->forward);
    }
    if (!read_query(route))
        return;
    prepare_names(route);
    route->statements = arena_alloc(route->arena, (size_t)route->query->statement_count * sizeof *route->statements);
    for (int i = 0; i < route->query->statement_count; i++) {
        const struct query_statement *s = &route->query->statements[i];
        bool shares = route->conf->share && route->query->statement_count == 1 && query_is_select(s);
        route->statements[i] = (struct pool_statement){s->text, (*next_id)++, s->param_count, shares};
    }
    if (route->conf->page.key_count > 0)
        page_create(route, next_id);
    if (route->conf->combine_keys > 0)
        route->combine = combine_create(route, next_id);
}

struct route *routes_create(struct service *service)
{
    struct route *routes = xcalloc((size_t)MAX(service->conf->route_count, 1), sizeof *routes);
    uint32_t next_id = POOL_FIRST_ROUTE_STATEMENT;
    for (int i = 0; i < service->conf->route_count; i++)
        route_init(&routes[i], service, i, &next_id);
    return routes;
}

void routes_destroy(struct route **routes, int count)
{
    for (int i = 0; i < count; i++) {
        arena_destroy(&(*routes)[i].arena);
        encode_plan_release(&(*routes)[i].plan);
    }
    free(*routes);
    *routes = NULL;
}

/* ---- describing ---- */

static void set_problem(struct route *route, enum route_state state, const char *text)
{
    route->state = state;
    err_set(&route->problem, "%s", text);
}

static void take_types(struct route *route, const struct pool_outcome *outcome)
{
    for (int s = 0; s < route->query->statement_count; s++) {
        const struct query_statement *statement = &route->query->statements[s];
        for (int i = 0; i < MIN(statement->param_count, PQnparams(outcome->results[s])); i++)
            if (route->types[statement->params[i]] == 0)
                route->types[statement->params[i]] = PQparamtype(outcome->results[s], i);
    }
}

static bool make_plan(struct route *route, const PGresult *columns, struct err *err)
{
    struct encode_plan *plan = encode_plan_create(columns, route->conf->result, route->conf->bigint_string, err);
    if (plan == NULL)
        return false;
    encode_plan_release(&route->plan);
    route->plan = plan;
    return true;
}

static void take_description(struct route *route, const struct pool_outcome *outcome)
{
    struct err err;
    take_types(route, outcome);
    if (route->combine != NULL)
        combine_describe(route->combine);
    route->answer = -1;
    for (int s = 0; s < route->query->statement_count; s++)
        if (PQnfields(outcome->results[s]) > 0)
            route->answer = s;
    if (route->conf->result == RESULT_NONE) {
        route->state = ROUTE_READY;
    } else if (route->answer < 0) {
        set_problem(route, ROUTE_BAD, "no statement of the query has columns to answer with");
    } else if (make_plan(route, outcome->results[route->answer], &err) &&
               (route->page == NULL || page_describe(route, outcome->results[route->answer], &err))) {
        route->state = ROUTE_READY;
    } else {
        set_problem(route, ROUTE_BAD, err.text);
    }
    if (route->state == ROUTE_BAD)
        log_error("%s:%d:%d: %s", route->conf->sql_pos.file, route->conf->sql_pos.line, route->conf->sql_pos.column,
                  route->problem.text);
}

bool route_may_log(struct route *route)
{
    return log_limit_pass(&route->faults_log, 100 * US_PER_MS, clock_mono_us());
}

void route_log_refusal(struct route *route, const struct pool_outcome *outcome, bool ran)
{
    char words[WORDING_BYTES];
    const struct conf_pos *pos = &route->conf->sql_pos;
    int line = 1, column = 1;
    if (!route_may_log(route))
        return;
    if (outcome->failed_statement < route->query->statement_count)
        query_locate(slice_str(route->conf->sql_text), &route->query->statements[outcome->failed_statement],
                     outcome->position, &line, &column);
    column += line == 1 ? pos->column - 1 : 0;
    wording_log(outcome->message, outcome->free_words, slice_str(route->conf->sql_text), words);
    log_error("%s:%d:%d: %s: %s (SQLSTATE %s)", pos->file, pos->line + line - 1, column, route->conf->name,
              ran ? words : outcome->message, outcome->sqlstate);
}

static void wake_waiters(struct route *route)
{
    struct route_waiter *waiter = route->waiters;
    route->waiters = NULL;
    while (waiter != NULL) {
        struct route_waiter *next = waiter->next;
        waiter->described(waiter->arg);
        free(waiter);
        waiter = next;
    }
}

static void on_described(void *arg, const struct pool_outcome *outcome)
{
    struct route *route = arg;
    route->retry_us = clock_mono_us() + RETRY_US;
    switch (outcome->fail) {
    case POOL_OK:
        take_description(route, outcome);
        break;
    case POOL_SQL:
        /* A table may be made while we run, so what is refused today is asked for again. */
        set_problem(route, ROUTE_UNKNOWN, outcome->message);
        route_log_refusal(route, outcome, false);
        break;
    case POOL_REJECTED:
    case POOL_DOWN:
    case POOL_TIMEOUT:
    case POOL_STOPPED:
        set_problem(route, ROUTE_UNKNOWN, "");
        break;
    }
    wake_waiters(route);
}

static void describe(struct route *route)
{
    const struct pool_work work = {.statements = route->statements,
                                   .statement_count = route->query->statement_count,
                                   .read_only = true,
                                   .timeout_us = route->service->conf->database.statement_timeout_us,
                                   .deadline_us = clock_mono_us() + route->service->conf->request_timeout_us,
                                   .describe = true};
    route->state = ROUTE_DESCRIBING;
    pool_run(route->service->pool, &work, on_described, route);
}

bool route_await(struct route *route, int64_t now_us, void (*described)(void *arg), void *arg)
{
    if (route->state == ROUTE_READY || route->state == ROUTE_BAD)
        return true;
    if (route->state == ROUTE_UNKNOWN) {
        if (route->problem.text[0] != '\0' && now_us < route->retry_us)
            return true; /* refused a moment ago; what only came too late is asked for again at once */
        describe(route);
    }
    struct route_waiter *waiter = xcalloc(1, sizeof *waiter);
    *waiter = (struct route_waiter){described, arg, route->waiters};
    route->waiters = waiter;
    return false;
}

/* ---- all of them at the start ---- */

struct survey {
    struct service *service;
    int next;
    void (*done)(struct service *service);
};

static void survey_step(void *arg)
{
    struct survey *survey = arg;
    struct service *service = survey->service;
    while (survey->next < service->conf->route_count && pool_health(service->pool) != POOL_UNREACHABLE)
        if (!route_await(&service->routes[survey->next++], clock_mono_us(), survey_step, survey))
            return;
    void (*done)(struct service *) = survey->done;
    free(survey);
    done(service);
}

void routes_describe_all(struct service *service, void (*done)(struct service *service))
{
    struct survey *survey = xcalloc(1, sizeof *survey);
    *survey = (struct survey){service, 0, done};
    survey_step(survey);
}

struct encode_plan *route_plan(struct route *route, const PGresult *result, struct err *err)
{
    if (route->plan != NULL && encode_plan_fits(route->plan, result))
        return route->plan;
    return make_plan(route, result, err) ? route->plan : NULL;
}
