#include "sql/survey.h"
#include "common/clock.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char question[] =
    "SELECT c.relname, c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
    "AND n.nspname NOT LIKE 'pg\\_%' ORDER BY c.reltuples DESC, c.relname LIMIT 10000";

static PGconn *open_connection(const char *url, int64_t timeout_us, struct err *err)
{
    char seconds[24], options[96];
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "connect_timeout", "options",
                              NULL};
    const char *values[] = {url, "perfctl", "UTF8", seconds, options, NULL};
    snprintf(seconds, sizeof seconds, "%lld", (long long)MAX(timeout_us / US_PER_S, 2));
    snprintf(options, sizeof options, "-c default_transaction_read_only=on -c statement_timeout=%lld",
             (long long)(timeout_us / US_PER_MS));
    PGconn *pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg) == CONNECTION_OK)
        return pg;
    err_set(err, "%.*s", (int)strcspn(PQerrorMessage(pg), "\n"), PQerrorMessage(pg));
    PQfinish(pg);
    return NULL;
}

static void read_tables(const PGresult *result, struct survey *out)
{
    out->count = PQntuples(result);
    out->tables = xcalloc((size_t)out->count, sizeof *out->tables);
    for (int i = 0; i < out->count; i++) {
        snprintf(out->tables[i].name, sizeof out->tables[i].name, "%s", PQgetvalue(result, i, 0));
        out->tables[i].rows = strtoll(PQgetvalue(result, i, 1), NULL, 10);
    }
}

bool survey_take(const char *url, int64_t timeout_us, struct survey *out, struct err *err)
{
    *out = (struct survey){NULL, 0};
    PGconn *pg = open_connection(url, timeout_us, err);
    if (pg == NULL)
        return false;
    PGresult *result = PQexec(pg, question);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (ok)
        read_tables(result, out);
    else
        err_set(err, "%.*s", (int)strcspn(PQerrorMessage(pg), "\n"), PQerrorMessage(pg));
    PQclear(result);
    PQfinish(pg);
    return ok;
}

void survey_deinit(struct survey *survey)
{
    free(survey->tables);
    *survey = (struct survey){NULL, 0};
}

int64_t survey_rows(const struct survey *survey, const char *name)
{
    for (int i = 0; i < survey->count; i++)
        if (strcmp(survey->tables[i].name, name) == 0)
            return survey->tables[i].rows;
    return -1;
}
