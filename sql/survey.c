#include "sql/survey.h"
#include "sql/session.h"

#include <stdio.h>
#include <stdlib.h>

static const char question[] =
    "SELECT c.relname, c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
    "AND n.nspname NOT LIKE 'pg\\_%' ORDER BY c.reltuples DESC, c.relname LIMIT 10000";

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
    struct session *session = session_open(url, timeout_us, err);
    if (session == NULL)
        return false;
    PGresult *result = session_ask(session, question, 0, NULL, err);
    if (result != NULL)
        read_tables(result, out);
    PQclear(result);
    session_close(&session);
    return result != NULL;
}

void survey_deinit(struct survey *survey)
{
    free(survey->tables);
    *survey = (struct survey){NULL, 0};
}
