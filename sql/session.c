#include "sql/session.h"
#include "common/buf.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENT "perfd_session"

struct session {
    PGconn *pg;
};

/* ---- asking ---- */

/* The first line of what PostgreSQL, or libpq where there is no result, says. */
static bool refuse(const struct session *s, const PGresult *result, struct err *err)
{
    const char *text = result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(s->pg);
    return err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
}

/* NULL: err says why. */
static PGresult *checked(const struct session *s, PGresult *result, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    (void)refuse(s, result, err);
    PQclear(result);
    return NULL;
}

static bool command(const struct session *s, const char *sql, struct err *err)
{
    PGresult *result = checked(s, PQexec(s->pg, sql), err);
    PQclear(result);
    return result != NULL;
}

/* What fails within a part, or is not kept, leaves the transaction as it was, and its locks are gone. */
static bool begin_part(const struct session *s, struct err *err)
{
    return command(s, "SAVEPOINT part", err);
}

static void end_part(const struct session *s, bool keep)
{
    struct err ignored; /* of a connection that is lost: the next question says so */
    (void)command(s, keep ? "RELEASE part" : "ROLLBACK TO part; RELEASE part", &ignored);
}

PGresult *session_ask(struct session *s, const char *sql, int count, const char *const *values, struct err *err)
{
    if (!begin_part(s, err))
        return NULL;
    PGresult *result = checked(s, PQexecParams(s->pg, sql, count, NULL, values, NULL, NULL, 0), err);
    end_part(s, result != NULL);
    return result;
}

/* ---- life ---- */

static bool begin(const struct session *s, int64_t timeout_us, struct err *err)
{
    char text[96];
    if (PQstatus(s->pg) != CONNECTION_OK)
        return refuse(s, NULL, err);
    snprintf(text, sizeof text, "SET LOCAL statement_timeout = %lld", (long long)(timeout_us / US_PER_MS));
    return command(s, "BEGIN TRANSACTION READ ONLY", err) && command(s, text, err);
}

struct session *session_open(const char *url, int64_t timeout_us, struct err *err)
{
    char seconds[24];
    struct session *s = xcalloc(1, sizeof *s);
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "connect_timeout", NULL};
    const char *values[] = {url, "perfctl", "UTF8", seconds, NULL};
    snprintf(seconds, sizeof seconds, "%lld", (long long)MAX(timeout_us / US_PER_S, 2));
    s->pg = PQconnectdbParams(keywords, values, 1);
    if (!begin(s, timeout_us, err))
        session_close(&s);
    return s;
}

/* A pooler closes the server's connection of who leaves in a transaction. */
void session_close(struct session **session)
{
    struct err ignored;
    if (PQtransactionStatus((*session)->pg) != PQTRANS_IDLE)
        (void)command(*session, "ROLLBACK", &ignored);
    PQfinish((*session)->pg);
    free(*session);
    *session = NULL;
}

/* ---- plans ---- */

static bool add_value(const struct session *s, struct buf *text, const char *value, struct err *err)
{
    char *literal = value != NULL ? PQescapeLiteral(s->pg, value, strlen(value)) : NULL;
    if (value != NULL && literal == NULL)
        return refuse(s, NULL, err);
    buf_adds(text, literal != NULL ? literal : "NULL");
    PQfreemem(literal);
    return true;
}

static bool make_command(const struct session *s, const char *options, int count, const char *const *values,
                         struct buf *text, struct err *err)
{
    bool ok = true;
    buf_printf(text, "EXPLAIN (%s) EXECUTE " STATEMENT, options);
    for (int i = 0; i < count && ok; i++) {
        buf_adds(text, i == 0 ? "(" : ", ");
        ok = add_value(s, text, values != NULL ? values[i] : NULL, err);
    }
    buf_adds(text, count > 0 ? ")" : "");
    buf_addc(text, '\0');
    return ok;
}

static PGresult *explain_prepared(const struct session *s, const char *options, int count, const char *const *values,
                                  struct err *err)
{
    struct buf text = {0};
    const char *mode = values != NULL ? "auto" : "force_generic_plan";
    PGresult *result = NULL;
    buf_printf(&text, "SET LOCAL plan_cache_mode = %s;", mode);
    if (make_command(s, options, count, values, &text, err))
        result = checked(s, PQexec(s->pg, text.at), err);
    buf_deinit(&text);
    return result;
}

/* Prepared anew each time: a plan does not notice a hypothetical index. The end of a part does not undo that. */
PGresult *session_explain(struct session *s, const char *options, const struct query_statement *statement,
                          const char *const *values, struct err *err)
{
    struct err ignored;
    if (!begin_part(s, err))
        return NULL;
    PGresult *prepared = checked(s, PQprepare(s->pg, STATEMENT, statement->text, 0, NULL), err), *result = NULL;
    if (prepared != NULL)
        result = explain_prepared(s, options, statement->param_count, values, err);
    end_part(s, false);
    if (prepared != NULL)
        (void)command(s, "DEALLOCATE " STATEMENT, &ignored);
    PQclear(prepared);
    return result;
}
