#include "sql/explain.h"
#include "common/clock.h"

#include <libpq-fe.h>
#include <stdio.h>

#define NAME "perfd_explain"

static bool refused(PGconn *pg, PGresult *result, struct err *err)
{
    const char *text = result ? PQresultErrorMessage(result) : PQerrorMessage(pg);
    err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
    PQclear(result);
    return false;
}

/* NULL: err says why. */
static PGresult *ask(PGconn *pg, PGresult *result, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    refused(pg, result, err);
    return NULL;
}

static bool command(PGconn *pg, const char *text, struct err *err)
{
    PGresult *result = ask(pg, PQexec(pg, text), err);
    PQclear(result);
    return result != NULL;
}

static PGconn *open_connection(const struct explain *explain, struct err *err)
{
    char seconds[24];
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "connect_timeout", NULL};
    const char *values[] = {explain->url, "perfctl", "UTF8", seconds, NULL};
    snprintf(seconds, sizeof seconds, "%lld", (long long)MAX(explain->timeout_us / US_PER_S, 2));
    PGconn *pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg) == CONNECTION_OK)
        return pg;
    refused(pg, NULL, err);
    PQfinish(pg);
    return NULL;
}

static bool begin(PGconn *pg, const struct explain *explain, struct err *err)
{
    char text[160];
    snprintf(text, sizeof text, "SET LOCAL statement_timeout = %lld; SET LOCAL plan_cache_mode = %s",
             (long long)(explain->timeout_us / US_PER_MS), explain->values ? "auto" : "force_generic_plan");
    return command(pg, "BEGIN TRANSACTION READ ONLY", err) && command(pg, text, err);
}

static bool add_value(PGconn *pg, struct buf *text, const char *value, struct err *err)
{
    if (value == NULL) {
        buf_adds(text, "NULL");
        return true;
    }
    char *literal = PQescapeLiteral(pg, value, strlen(value));
    if (literal == NULL)
        return refused(pg, NULL, err);
    buf_adds(text, literal);
    PQfreemem(literal);
    return true;
}

static bool make_command(PGconn *pg, const struct explain *explain, int count, const char *const *values,
                         struct buf *text, struct err *err)
{
    bool ok = true;
    buf_printf(text, "EXPLAIN (%s%s) EXECUTE " NAME, explain->analyze ? "ANALYZE, BUFFERS, " : "",
               explain->json ? "FORMAT JSON" : "FORMAT TEXT");
    for (int i = 0; i < count && ok; i++) {
        buf_adds(text, i == 0 ? "(" : ", ");
        ok = add_value(pg, text, values ? values[i] : NULL, err);
    }
    buf_adds(text, count > 0 ? ")" : "");
    buf_addc(text, '\0');
    return ok;
}

static bool add_plan(PGconn *pg, const char *text, struct buf *out, struct err *err)
{
    PGresult *result = ask(pg, PQexec(pg, text), err);
    if (result == NULL)
        return false;
    for (int i = 0; i < PQntuples(result); i++)
        buf_printf(out, "%s\n", PQgetvalue(result, i, 0));
    PQclear(result);
    return true;
}

static bool explain_statement(PGconn *pg, const struct explain *explain, const struct query_statement *statement,
                              const char *const *values, struct buf *out, struct err *err)
{
    struct buf text = {0};
    PGresult *prepared = ask(pg, PQprepare(pg, NAME, statement->text, 0, NULL), err);
    bool ok = prepared != NULL && make_command(pg, explain, statement->param_count, values, &text, err) &&
              add_plan(pg, text.at, out, err) && command(pg, "DEALLOCATE " NAME, err);
    PQclear(prepared);
    buf_deinit(&text);
    return ok;
}

static bool explain_all(PGconn *pg, const struct explain *explain, const struct query *query, struct buf *out,
                        struct err *err)
{
    const char *const *values = explain->values;
    for (int i = 0; i < query->statement_count; i++) {
        buf_adds(out, !explain->json && i > 0 ? "\n" : explain->json && i > 0 ? "," : "");
        if (!explain_statement(pg, explain, &query->statements[i], values, out, err))
            return false;
        values += values ? query->statements[i].param_count : 0;
    }
    return true;
}

bool explain_query(const struct explain *explain, const struct query *query, struct buf *out, struct err *err)
{
    PGconn *pg = open_connection(explain, err);
    if (pg == NULL)
        return false;
    bool ok = begin(pg, explain, err) && explain_all(pg, explain, query, out, err);
    if (ok)
        ok = command(pg, "ROLLBACK", err);
    PQfinish(pg);
    return ok;
}
