#include "sql/check.h"
#include "common/clock.h"
#include "common/template.h"
#include "sql/budget.h"
#include "sql/combined.h"
#include "sql/encode.h"
#include "sql/hosts.h"
#include "sql/keyset.h"
#include "sql/param.h"
#include "sql/query.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct check {
    const struct conf *conf;
    struct err *err;
    int64_t deadline_us;
    PGconn *pg;
    struct arena *arena;
};

/* ---- without the database ---- */

static bool fail_at(struct check *c, const struct conf_pos *pos, const char *what)
{
    return err_set(c->err, "%s:%d:%d: %s", pos->file, pos->line, pos->column, what);
}

static const char *source_word(const struct conf_route *route)
{
    switch (route->from) {
    case FROM_SQL:
        return "query";
    case FROM_UPSTREAM:
        return "upstream's target";
    case FROM_FAN:
        return "fan";
    case FROM_BATCH:
        return "batch";
    }
    return "";
}

static bool check_template(struct check *c, const struct conf_route *route, const struct query *query, const char *text,
                           const char *where)
{
    const char *at = text;
    for (struct template_part part; template_next(&at, &part);)
        if (part.name.len > 0 && query_name_index(query, part.name) < 0)
            return fail_at(c, &route->pos,
                           arena_printf(c->arena, "%s %s: the %s has no parameter %s" SLICE_FMT, where, text,
                                        source_word(route), route->from == FROM_SQL ? ":" : "", SLICE_ARG(part.name)));
    return true;
}

static bool is_of_page(const struct conf_route *route, const struct conf_param *param)
{
    return route->page.key_count > 0 && strcmp(param->name, CONF_PAGE_LIMIT) == 0;
}

static bool check_names(struct check *c, const struct conf_route *route, const struct query *query)
{
    bool ok = check_template(c, route, query, route->path, "path");
    for (int i = 0; i < route->cache_tags.count && ok; i++)
        ok = check_template(c, route, query, route->cache_tags.at[i], "tag");
    for (int i = 0; i < route->invalidates.count && ok; i++)
        ok = check_template(c, route, query, route->invalidates.at[i], "invalidates");
    for (int i = 0; i < route->param_count && ok; i++)
        if (query_name_index(query, slice_str(route->params[i].name)) < 0 && !is_of_page(route, &route->params[i]))
            ok = fail_at(c, &route->params[i].pos,
                         arena_printf(c->arena, "param %s: the %s has no parameter %s%s", route->params[i].name,
                                      source_word(route), route->from == FROM_SQL ? ":" : "", route->params[i].name));
    return ok;
}

/* A standby refuses writes for good. */
static bool check_role(struct check *c)
{
    const struct conf *conf = c->conf;
    if (hosts_role(conf->database.url) != HOSTS_STANDBY)
        return true;
    for (const struct conf_route *r = conf->routes; r < conf->routes + conf->route_count; r++)
        if (r->from == FROM_SQL && r->method != METHOD_GET)
            return fail_at(c, &r->pos,
                           arena_printf(c->arena,
                                        "%s writes, but the database's url asks for a standby "
                                        "(target_session_attrs)",
                                        r->name));
    return true;
}

/* A place in the query's text as one in its file. */
static bool fail_in_query(struct check *c, const struct conf_route *route, int line, int column, const char *what)
{
    const struct conf_pos *start = &route->sql_pos;
    struct conf_pos pos = {start->file, start->line + line - 1, column + (line == 1 ? start->column - 1 : 0)};
    return fail_at(c, &pos, what);
}

static struct query *parse(struct check *c, const struct conf_route *route)
{
    struct err err;
    int line = 1, column = 1, used = 0;
    if (route->from != FROM_SQL)
        return query_of_templates(&route->templates, c->arena);
    struct query *query = query_parse(slice_str(route->sql_text), c->arena, &err);
    if (query != NULL)
        return query;
    if (sscanf(err.text, "%d:%d: %n", &line, &column, &used) < 2)
        used = 0;
    fail_in_query(c, route, line, column, err.text + used);
    return NULL;
}

static bool check_text(struct check *c, const struct conf_route *route, const struct query *query)
{
    const char *wrong = route->page.key_count > 0 ? keyset_refuses(query) : NULL;
    if (wrong != NULL)
        return fail_at(c, &route->page.pos, wrong);
    wrong = route->combine_keys > 0 ? combined_refuses(query) : NULL;
    if (wrong != NULL)
        return fail_at(c, &route->combine_pos, wrong);
    return check_names(c, route, query);
}

/* ---- with it ---- */

static bool wait_for(struct check *c, short events)
{
    struct pollfd p = {PQsocket(c->pg), events, 0};
    int64_t left_us = c->deadline_us - clock_mono_us();
    int ready = left_us > 0 ? poll(&p, 1, (int)(left_us / US_PER_MS) + 1) : 0;
    return ready > 0 || (ready < 0 && errno == EINTR);
}

static const char *one_line(struct check *c, const char *text)
{
    char *copy = arena_str(c->arena, slice_str(text));
    for (char *at = copy; *at; at++)
        if (*at == '\n')
            *at = at[1] ? ' ' : '\0';
    return copy;
}

/* False: err says why the database does not answer. */
static bool connect_in_time(struct check *c)
{
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "gssencmode", NULL};
    const char *values[] = {c->conf->database.url, "perfd", "UTF8", "disable", NULL};
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    c->pg = PQconnectStartParams(keywords, values, 1);
    if (c->pg == NULL)
        return err_set(c->err, "the database is not asked: out of memory");
    while (PQstatus(c->pg) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (!wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return err_set(c->err, "the database does not answer in time");
        state = PQconnectPoll(c->pg);
    }
    if (PQstatus(c->pg) == CONNECTION_OK)
        return true;
    return err_set(c->err, "the database does not answer: %s", one_line(c, PQerrorMessage(c->pg)));
}

/* The last result of what was sent; NULL when the time is over or the connection broke. */
static PGresult *result_in_time(struct check *c)
{
    PGresult *last = NULL, *result;
    for (;;) {
        while (PQisBusy(c->pg))
            if (!wait_for(c, POLLIN) || !PQconsumeInput(c->pg)) {
                PQclear(last);
                return NULL;
            }
        if ((result = PQgetResult(c->pg)) == NULL)
            return last;
        PQclear(last);
        last = result;
    }
}

static const char *message_of(struct check *c, const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return message ? message : one_line(c, PQresultErrorMessage(result));
}

/* The hint names what an admin of routes runs into, in routes.md's words. */
static bool refused(struct check *c, const struct conf_route *route, const struct query_statement *statement,
                    const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    bool untyped = state != NULL && (strcmp(state, "42P08") == 0 || strcmp(state, "42P18") == 0);
    int line, column;
    query_locate(slice_str(route->sql_text), statement, position ? atoi(position) : 0, &line, &column);
    return fail_in_query(
        c, route, line, column,
        arena_printf(c->arena, "%s: %s%s", route->name, message_of(c, result),
                     untyped ? "; an optional filter needs a cast, as in (:id::int8 IS NULL OR id = :id)" : ""));
}

enum outcome { FINE, BAD, GONE };

static enum outcome answer_in_time(struct check *c, bool sent, PGresult **result)
{
    *result = sent ? result_in_time(c) : NULL;
    bool well = *result != NULL && PQresultStatus(*result) == PGRES_COMMAND_OK;
    /* What has no SQLSTATE libpq says itself, for want of memory. */
    if (*result != NULL && PQstatus(c->pg) != CONNECTION_BAD && (well || PQresultErrorField(*result, PG_DIAG_SQLSTATE)))
        return well ? FINE : BAD;
    err_set(c->err, "the database stopped answering while the queries were checked");
    return GONE;
}

static enum outcome ask(struct check *c, bool sent, const struct conf_route *route,
                        const struct query_statement *statement, PGresult **described)
{
    PGresult *result;
    enum outcome outcome = answer_in_time(c, sent, &result);
    if (outcome == BAD)
        refused(c, route, statement, result);
    if (described != NULL && outcome == FINE)
        *described = result;
    else
        PQclear(result);
    return outcome;
}

static bool check_shape(struct check *c, const struct conf_route *route, const PGresult *columns)
{
    struct err err;
    if (route->result == RESULT_NONE)
        return true;
    if (columns == NULL)
        return fail_in_query(
            c, route, 1, 1,
            arena_printf(c->arena, "%s: no statement has columns to answer with; say `result none;`", route->name));
    struct encode_plan *plan = encode_plan_create(columns, route->result, route->bigint_string, &err);
    bool fits = plan != NULL;
    encode_plan_release(&plan);
    return fits || fail_in_query(c, route, 1, 1, arena_printf(c->arena, "%s: %s", route->name, err.text));
}

/* A default that PostgreSQL's type refuses would answer 400 to every request that leaves the parameter out. */
static bool check_defaults(struct check *c, const struct conf_route *route, const struct query *query,
                           const struct query_statement *statement, const PGresult *described)
{
    for (int p = 0; p < route->param_count; p++) {
        const struct conf_param *param = &route->params[p];
        for (int i = 0; i < MIN(statement->param_count, PQnparams(described)) && param->default_text != NULL; i++) {
            struct param_value ignored;
            if (strcmp(query->names[statement->params[i]], param->name) != 0)
                continue;
            const char *wrong =
                param_from_text(slice_str(param->default_text), PQparamtype(described, i), c->arena, &ignored);
            if (wrong != NULL)
                return fail_at(c, &param->pos,
                               arena_printf(c->arena, "param %s: the default \"%.100s\" %s", param->name,
                                            param->default_text, wrong));
        }
    }
    return true;
}

/* A statement that perfd makes of the route's for what the directive at pos asks. */
static enum outcome ask_made(struct check *c, const char *text, const struct conf_pos *pos, const char *directive)
{
    PGresult *result;
    enum outcome outcome = answer_in_time(c, PQsendPrepare(c->pg, "", text, 0, NULL), &result);
    if (outcome == BAD)
        fail_at(c, pos, arena_printf(c->arena, "%s: %s", directive, message_of(c, result)));
    PQclear(result);
    return outcome;
}

/* Its keys are columns of the result, and can be ordered and compared. */
static enum outcome check_page(struct check *c, const struct conf_route *route, const struct query *query,
                               const PGresult *columns)
{
    const struct conf_page *page = &route->page;
    const struct keyset_shape shapes[] = {{.first = true, .limit = 1}, {.limit = 1}};
    int ignored[CONF_PAGE_KEYS_MAX];
    struct err err;
    enum outcome outcome = FINE;
    if (!keyset_columns(page, columns, ignored, &err)) {
        fail_at(c, &page->pos, arena_printf(c->arena, "page: %s", err.text));
        return BAD;
    }
    for (size_t i = 0; i < ARRAY_LEN(shapes) && outcome == FINE; i++)
        outcome = ask_made(c, keyset_text(page, &query->statements[0], &shapes[i], c->arena), &page->pos, "page");
    return outcome;
}

static enum outcome check_combine(struct check *c, const struct conf_route *route, const struct query *query,
                                  uint32_t param_type)
{
    struct err err;
    const char *text = combined_text(&query->statements[0], param_type, c->arena, &err);
    if (text != NULL)
        return ask_made(c, text, &route->combine_pos, "combine");
    fail_at(c, &route->combine_pos, arena_printf(c->arena, "combine: %s", err.text));
    return BAD;
}

static enum outcome check_query(struct check *c, const struct conf_route *route, const struct query *query)
{
    PGresult *columns = NULL;
    enum outcome outcome = FINE;
    uint32_t param_type = 0;
    if (route->from != FROM_SQL)
        return FINE;
    for (int i = 0; i < query->statement_count && outcome == FINE; i++) {
        const struct query_statement *s = &query->statements[i];
        PGresult *described = NULL;
        outcome = ask(c, PQsendPrepare(c->pg, "", s->text, 0, NULL), route, s, NULL);
        if (outcome == FINE)
            outcome = ask(c, PQsendDescribePrepared(c->pg, ""), route, s, &described);
        if (described != NULL && !check_defaults(c, route, query, s, described))
            outcome = BAD;
        if (described != NULL && PQnparams(described) > 0)
            param_type = PQparamtype(described, 0);
        if (described != NULL && PQnfields(described) > 0) {
            PQclear(columns);
            columns = described;
        } else {
            PQclear(described);
        }
    }
    if (outcome == FINE && !check_shape(c, route, columns))
        outcome = BAD;
    if (outcome == FINE && route->page.key_count > 0)
        outcome = check_page(c, route, query, columns);
    if (outcome == FINE && route->combine_keys > 0)
        outcome = check_combine(c, route, query, param_type);
    PQclear(columns);
    return outcome;
}

/* A server that does not say is taken to allow it. */
static enum check_result check_budget(struct check *c)
{
    PGresult *result = PQsendQuery(c->pg, BUDGET_QUERY) ? result_in_time(c) : NULL;
    enum check_result fits = CHECK_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        budget_pool_max(c->conf, atoi(PQgetvalue(result, 0, 0)), c->err);
        fits = c->err->text[0] ? CHECK_TIGHT : CHECK_OK;
    }
    PQclear(result);
    return fits;
}

static enum check_result check_all(struct check *c)
{
    const struct conf *conf = c->conf;
    struct query **queries = arena_alloc(c->arena, (size_t)MAX(conf->route_count, 1) * sizeof(struct query *));
    for (int i = 0; i < conf->route_count; i++) {
        queries[i] = parse(c, &conf->routes[i]);
        if (queries[i] == NULL || !check_text(c, &conf->routes[i], queries[i]))
            return CHECK_BAD;
    }
    if (!conf->database.set)
        return CHECK_OK;
    if (!check_role(c))
        return CHECK_BAD;
    if (!connect_in_time(c))
        return CHECK_NO_DATABASE;
    for (int i = 0; i < conf->route_count; i++)
        switch (check_query(c, &conf->routes[i], queries[i])) {
        case FINE:
            break;
        case BAD:
            return CHECK_BAD;
        case GONE:
            return CHECK_NO_DATABASE;
        }
    return check_budget(c);
}

enum check_result check_routes(const struct conf *conf, int64_t timeout_us, struct err *err)
{
    struct check c = {.conf = conf, .err = err, .deadline_us = clock_mono_us() + timeout_us, .arena = arena_create()};
    enum check_result result = check_all(&c);
    PQfinish(c.pg);
    arena_destroy(&c.arena);
    return result;
}
