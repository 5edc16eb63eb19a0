#include "sql/explain.h"
#include "sql/session.h"

/* A plan's lines, or its document, as one row each. */
static bool explain_statement(struct session *session, const struct explain *explain,
                              const struct query_statement *statement, const char *const *values, struct buf *out,
                              struct err *err)
{
    struct buf options = {0};
    buf_printf(&options, "%sFORMAT %s", explain->analyze ? "ANALYZE, BUFFERS, " : "", explain->json ? "JSON" : "TEXT");
    buf_addc(&options, '\0');
    PGresult *result = session_explain(session, options.at, statement, values, err);
    for (int i = 0; i < PQntuples(result); i++)
        buf_printf(out, "%s\n", PQgetvalue(result, i, 0));
    PQclear(result);
    buf_deinit(&options);
    return result != NULL;
}

bool explain_query(const struct explain *explain, const struct query *query, struct buf *out, struct err *err)
{
    const char *const *values = explain->values;
    struct session *session = session_open(explain->url, explain->timeout_us, err);
    bool ok = session != NULL;
    for (int i = 0; ok && i < query->statement_count; i++) {
        buf_adds(out, i == 0 ? "" : explain->json ? "," : "\n");
        ok = explain_statement(session, explain, &query->statements[i], values, out, err);
        values += values != NULL ? query->statements[i].param_count : 0;
    }
    if (session != NULL)
        session_close(&session);
    return ok;
}
