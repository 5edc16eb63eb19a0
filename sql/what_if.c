#include "sql/what_if.h"
#include "sql/session.h"

#include <stdlib.h>

struct what_if {
    struct session *session;
    char *hypopg; /* the schema that the extension is in, as SQL writes it; NULL: there is none */
};

/* ---- life ---- */

/* That a row of pg_extension is there says nothing about its library, and the right to use it. */
static bool works(struct what_if *w, const char *schema, struct arena *arena)
{
    struct err why;
    PGresult *result = session_ask(w->session, arena_printf(arena, "SELECT %s.hypopg_reset()", schema), 0, NULL, &why);
    PQclear(result);
    return result != NULL;
}

static bool look_for_hypopg(struct what_if *w, struct arena *arena, struct err *err)
{
    PGresult *result = session_ask(w->session,
                                   "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n"
                                   " ON n.oid = e.extnamespace WHERE e.extname = 'hypopg'",
                                   0, NULL, err);
    if (PQntuples(result) > 0 && works(w, PQgetvalue(result, 0, 0), arena))
        w->hypopg = xstrdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return result != NULL;
}

/* What a plan of several processes expects is of one of them. */
static bool set_up(struct what_if *w, struct err *err)
{
    struct arena *arena = arena_create();
    PGresult *result = session_ask(w->session, "SET LOCAL max_parallel_workers_per_gather = 0", 0, NULL, err);
    bool ok = result != NULL && look_for_hypopg(w, arena, err);
    PQclear(result);
    arena_destroy(&arena);
    return ok;
}

struct what_if *what_if_open(const char *url, int64_t timeout_us, struct err *err)
{
    struct what_if *w = xcalloc(1, sizeof *w);
    w->session = session_open(url, timeout_us, err);
    if (w->session == NULL || !set_up(w, err))
        what_if_close(&w);
    return w;
}

void what_if_close(struct what_if **what_if)
{
    if ((*what_if)->session != NULL)
        session_close(&(*what_if)->session);
    free((*what_if)->hypopg);
    free(*what_if);
    *what_if = NULL;
}

/* ---- plans ---- */

const char *what_if_plan(struct what_if *w, const struct query_statement *statement, struct arena *arena,
                         struct err *err)
{
    PGresult *result = session_explain(w->session, "VERBOSE, FORMAT JSON", statement, NULL, err);
    const char *plan = result != NULL ? "" : NULL;
    if (PQntuples(result) > 0)
        plan = arena_str(arena, slice_str(PQgetvalue(result, 0, 0)));
    PQclear(result);
    return plan;
}

/* ---- tables ---- */

/* A row a column. The type is that of the default operator class for btree of the column's type, or of the one that it
 * is stored like, as varchar is like text; the polymorphic ones are for the type itself. */
static const char table_question[] =
    "SELECT c.oid, format('%I.%I', tn.nspname, t.relname), quote_ident($3), c.reltuples, pg_relation_size(c.oid),"
    " c.relispartition, quote_ident(a.attname), a.attnum, coalesce(("
    "  SELECT CASE k.typtype WHEN 'p' THEN format_type(b.oid, NULL) ELSE format_type(k.oid, NULL) END"
    "  FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod JOIN pg_type k ON k.oid = o.opcintype"
    "  WHERE m.amname = 'btree' AND o.opcdefault AND (k.oid = b.oid"
    "   OR EXISTS (SELECT FROM pg_cast x WHERE x.castsource = b.oid AND x.casttarget = k.oid"
    "              AND x.castmethod = 'b' AND x.castcontext = 'i')"
    "   OR k.typname = CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN 'anyarray' WHEN b.typtype = 'e' THEN "
    "'anyenum'"
    "                       WHEN b.typtype = 'r' THEN 'anyrange' WHEN b.typtype = 'm' THEN 'anymultirange' END)"
    "  ORDER BY k.oid = b.oid DESC, k.oid LIMIT 1), '')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class t ON t.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END"
    " JOIN pg_namespace tn ON tn.oid = t.relnamespace"
    " JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type y ON y.oid = a.atttypid"
    " JOIN pg_type b ON b.oid = CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END"
    " WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    " ORDER BY a.attnum";

enum {
    COLUMN_oid,
    COLUMN_table,
    COLUMN_alias,
    COLUMN_rows,
    COLUMN_bytes,
    COLUMN_partition,
    COLUMN_name,
    COLUMN_number,
    COLUMN_type
};

static const char *value_of(const PGresult *result, int row, int column, struct arena *arena)
{
    return arena_str(arena, slice_str(PQgetvalue(result, row, column)));
}

static void take_table(const PGresult *result, struct what_if_table *table, struct arena *arena)
{
    *table = (struct what_if_table){.oid = value_of(result, 0, COLUMN_oid, arena),
                                    .name = value_of(result, 0, COLUMN_table, arena),
                                    .alias = value_of(result, 0, COLUMN_alias, arena),
                                    .rows = atof(PQgetvalue(result, 0, COLUMN_rows)),
                                    .bytes = atoll(PQgetvalue(result, 0, COLUMN_bytes)),
                                    .is_partition = *PQgetvalue(result, 0, COLUMN_partition) == 't',
                                    .column_count = PQntuples(result)};
    table->columns = arena_alloc(arena, (size_t)table->column_count * sizeof *table->columns);
    for (int i = 0; i < table->column_count; i++)
        table->columns[i] = (struct what_if_column){.name = value_of(result, i, COLUMN_name, arena),
                                                    .type = value_of(result, i, COLUMN_type, arena),
                                                    .number = atoi(PQgetvalue(result, i, COLUMN_number))};
}

bool what_if_table(struct what_if *w, const char *schema, const char *name, const char *alias,
                   struct what_if_table *table, struct arena *arena, struct err *err)
{
    const char *const values[] = {schema, name, alias};
    *table = (struct what_if_table){0};
    PGresult *result = session_ask(w->session, table_question, 3, values, err);
    if (PQntuples(result) > 0)
        take_table(result, table, arena);
    PQclear(result);
    return result != NULL;
}

bool what_if_is_indexed(struct what_if *w, const struct what_if_table *table,
                        const struct what_if_column *const *columns, int count, struct arena *arena)
{
    static const char sql[] =
        "SELECT FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_am m ON m.oid = i.relam"
        " WHERE m.amname IN ('btree', 'hash') AND indrelid = $1::oid AND indisvalid AND indpred IS NULL"
        " AND indnkeyatts >= cardinality($2::int2[]) AND (SELECT bool_and(k = ANY ($2)) FROM"
        " unnest(indkey::int2[]) WITH ORDINALITY AS keys (k, place) WHERE place <= cardinality($2))";
    struct err why;
    const char *numbers = "";
    for (int i = 0; i < count; i++)
        numbers = arena_printf(arena, "%s%s%d", numbers, i > 0 ? "," : "", columns[i]->number);
    const char *const values[] = {table->oid, arena_printf(arena, "{%s}", numbers)};
    PGresult *result = session_ask(w->session, sql, 2, values, &why);
    bool found = PQntuples(result) > 0;
    PQclear(result);
    return found;
}

/* ---- indexes that are not there ---- */

bool what_if_has_indexes(const struct what_if *w)
{
    return w->hypopg != NULL;
}

/* Of the extension's functions, which see no schema of their own. */
static bool call(struct what_if *w, const char *function, int count, const char *const *values, struct err *err)
{
    struct arena *arena = arena_create();
    const char *sql = arena_printf(arena, "SELECT %s.%s", w->hypopg, function);
    PGresult *result = session_ask(w->session, sql, count, values, err);
    PQclear(result);
    arena_destroy(&arena);
    return result != NULL;
}

bool what_if_index(struct what_if *w, const char *create_index, struct err *err)
{
    return call(w, "hypopg_create_index($1)", 1, &create_index, err);
}

void what_if_drop_indexes(struct what_if *w)
{
    struct err ignored;
    (void)call(w, "hypopg_reset()", 0, NULL, &ignored);
}
