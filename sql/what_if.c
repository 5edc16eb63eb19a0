#include "sql/what_if.h"
#include "common/buf.h"
#include "common/clock.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME "perfd_what_if"

struct what_if {
    PGconn *pg;
    bool has_indexes;
};

/* ---- asking ---- */

static bool refuse(const struct what_if *w, const PGresult *result, struct err *err)
{
    const char *text = result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(w->pg);
    return err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
}

/* NULL: err says why. */
static PGresult *checked(struct what_if *w, PGresult *result, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    (void)refuse(w, result, err);
    PQclear(result);
    return NULL;
}

static PGresult *ask(struct what_if *w, const char *sql, int count, const char *const *values, struct err *err)
{
    return checked(w, PQexecParams(w->pg, sql, count, NULL, values, NULL, NULL, 0), err);
}

static bool command(struct what_if *w, const char *sql, struct err *err)
{
    PGresult *result = checked(w, PQexec(w->pg, sql), err);
    PQclear(result);
    return result != NULL;
}

/* What fails within leaves the transaction as it was. */
static bool begin_part(struct what_if *w, struct err *err)
{
    return command(w, "SAVEPOINT part", err);
}

static void end_part(struct what_if *w)
{
    struct err ignored;
    (void)command(w, "ROLLBACK TO part", &ignored);
}

/* ---- life ---- */

static bool look_for_hypopg(struct what_if *w, struct err *err)
{
    PGresult *result = ask(w, "SELECT 1 FROM pg_extension WHERE extname = 'hypopg'", 0, NULL, err);
    w->has_indexes = PQntuples(result) > 0;
    PQclear(result);
    return result != NULL;
}

static bool begin(struct what_if *w, int64_t timeout_us, struct err *err)
{
    char text[160];
    if (PQstatus(w->pg) != CONNECTION_OK)
        return refuse(w, NULL, err);
    snprintf(text, sizeof text, "SET LOCAL statement_timeout = %lld; SET LOCAL plan_cache_mode = force_generic_plan",
             (long long)(timeout_us / US_PER_MS));
    return command(w, "BEGIN TRANSACTION READ ONLY", err) && command(w, text, err) && look_for_hypopg(w, err);
}

struct what_if *what_if_open(const char *url, int64_t timeout_us, struct err *err)
{
    char seconds[24];
    struct what_if *w = xcalloc(1, sizeof *w);
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "connect_timeout", NULL};
    const char *values[] = {url, "perfctl", "UTF8", seconds, NULL};
    snprintf(seconds, sizeof seconds, "%lld", (long long)MAX(timeout_us / US_PER_S, 2));
    w->pg = PQconnectdbParams(keywords, values, 1);
    if (!begin(w, timeout_us, err))
        what_if_close(&w);
    return w;
}

void what_if_close(struct what_if **what_if)
{
    PQfinish((*what_if)->pg); /* which rolls back */
    free(*what_if);
    *what_if = NULL;
}

/* ---- plans ---- */

static char *explain_text(int param_count, struct arena *arena)
{
    struct buf text = {0};
    buf_adds(&text, "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE " NAME);
    for (int i = 0; i < param_count; i++)
        buf_adds(&text, i == 0 ? "(NULL" : ", NULL");
    buf_adds(&text, param_count > 0 ? ")" : "");
    char *copy = arena_str(arena, buf_slice(&text));
    buf_deinit(&text);
    return copy;
}

/* Prepared anew each time: a plan does not notice an index that is not there. */
static const char *plan(struct what_if *w, const struct query_statement *statement, struct arena *arena,
                        struct err *err)
{
    PGresult *prepared = checked(w, PQprepare(w->pg, NAME, statement->text, 0, NULL), err);
    PQclear(prepared);
    if (prepared == NULL)
        return NULL;
    PGresult *result = checked(w, PQexec(w->pg, explain_text(statement->param_count, arena)), err);
    const char *text = PQntuples(result) > 0 ? arena_str(arena, slice_str(PQgetvalue(result, 0, 0))) : NULL;
    PQclear(result);
    return text;
}

static void forget_plan(struct what_if *w)
{
    struct err ignored;
    (void)command(w, "DEALLOCATE ALL", &ignored); /* a savepoint does not undo what was prepared */
}

const char *what_if_plan(struct what_if *w, const struct query_statement *statement, struct arena *arena,
                         struct err *err)
{
    if (!begin_part(w, err))
        return NULL;
    const char *text = plan(w, statement, arena, err);
    end_part(w);
    forget_plan(w);
    return text;
}

/* ---- tables ---- */

static void take_table(const PGresult *result, struct what_if_table *table, struct arena *arena)
{
    table->name = arena_str(arena, slice_str(PQgetvalue(result, 0, 0)));
    table->rows = atof(PQgetvalue(result, 0, 1));
    table->bytes = atoll(PQgetvalue(result, 0, 2));
    table->column_count = PQntuples(result);
    table->columns = arena_alloc(arena, (size_t)table->column_count * sizeof *table->columns);
    for (int i = 0; i < table->column_count; i++)
        table->columns[i] = arena_str(arena, slice_str(PQgetvalue(result, i, 3)));
}

bool what_if_table(struct what_if *w, const char *schema, const char *name, struct what_if_table *table,
                   struct arena *arena, struct err *err)
{
    static const char sql[] =
        "SELECT c.oid::regclass::text, c.reltuples, pg_relation_size(c.oid), quote_ident(a.attname)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    const char *const values[] = {schema, name};
    PGresult *result = ask(w, sql, 2, values, err);
    bool found = PQntuples(result) > 0;
    if (found)
        take_table(result, table, arena);
    else if (result != NULL)
        (void)err_set(err, "%s.%s is no table", schema, name);
    PQclear(result);
    return found;
}

/* ---- indexes that are not there ---- */

bool what_if_has_indexes(const struct what_if *w)
{
    return w->has_indexes;
}

bool what_if_index(struct what_if *w, const char *create_index, struct err *err)
{
    const char *const values[] = {create_index};
    if (!begin_part(w, err))
        return false;
    PGresult *result = ask(w, "SELECT hypopg_create_index($1)", 1, values, err);
    end_part(w);
    PQclear(result);
    return result != NULL;
}

void what_if_drop_indexes(struct what_if *w)
{
    struct err ignored;
    PQclear(ask(w, "SELECT hypopg_reset()", 0, NULL, &ignored));
}
