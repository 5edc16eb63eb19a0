#include "common/conf.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/advise/condition.h"
#include "master/ctl/advise/scan.h"
#include "master/ctl/format.h"
#include "master/ctl/route_query.h"
#include "sql/what_if.h"

#include <string.h>

/* A smaller table is read as a whole in less time than an index takes. LEAST_GAIN: how many times cheaper the statement
 * must become, of what HypoPG says; SELECTIVE: which part of the rows is so few that an index pays, where nobody says.
 * LARGE_ROWS: from when on it is told that no plain index would help. */
enum { TABLE_BYTES = 256 << 10, LEAST_GAIN = 2, SELECTIVE = 20, PAGE_ROWS = 50, LARGE_ROWS = 10000, COLUMNS_MAX = 4 };

struct search {
    struct what_if *what_if;
    struct arena *arena; /* of a route */
    struct advices *advices;
    const struct conf_route *route;
    const struct query_statement *statement;
    double cost; /* of the statement as it is */
};

/* What a scan's condition compares. */
struct pick {
    const struct what_if_column *columns[COLUMNS_MAX];
    int equal_count, count;
};

/* ---- columns ---- */

/* What is compared by =, then one range, which ends what an index narrows down. */
static void pick_columns(const struct what_if_table *table, const char *condition, struct pick *pick)
{
    const struct what_if_column *range = NULL;
    *pick = (struct pick){.count = 0};
    for (int i = 0; i < table->column_count && pick->count < COLUMNS_MAX; i++) {
        const struct what_if_column *column = &table->columns[i];
        const struct condition_column in_condition = {table->alias, column->name, column->type};
        enum compared how = condition_compares(condition, &in_condition);
        if (how == COMPARED_EQUAL)
            pick->columns[pick->count++] = column;
        else if (how == COMPARED_RANGE && range == NULL)
            range = column;
    }
    pick->equal_count = pick->count;
    if (range != NULL && pick->count < COLUMNS_MAX)
        pick->columns[pick->count++] = range;
}

static const char *add_to_list(const char *list, const char *column, struct arena *arena)
{
    return arena_printf(arena, "%s%s%s", list, *list != '\0' ? ", " : "", column);
}

static const char *list_columns(const struct pick *pick, int count, struct arena *arena)
{
    const char *list = "";
    for (int i = 0; i < count; i++)
        list = add_to_list(list, pick->columns[i]->name, arena);
    return list;
}

/* `created_at DESC` of `posts.created_at DESC`, where that is a column with or without a direction; else NULL. */
static const char *column_of_key(const struct what_if_table *table, const char *key, const struct what_if_column **out)
{
    size_t len = strlen(table->alias);
    if (strncmp(key, table->alias, len) != 0 || key[len] != '.')
        return NULL;
    const char *text = key + len + 1;
    for (int i = 0; i < table->column_count; i++) {
        size_t name_len = strlen(table->columns[i].name);
        const char *end = text + name_len;
        if (strncmp(text, table->columns[i].name, name_len) != 0 || (*end != '\0' && *end != ' '))
            continue;
        *out = &table->columns[i];
        return strstr(end, " USING ") == NULL ? text : NULL;
    }
    return NULL;
}

static bool is_equal_column(const struct pick *pick, const struct what_if_column *column)
{
    for (int i = 0; i < pick->equal_count; i++)
        if (pick->columns[i] == column)
            return true;
    return false;
}

/* What is compared by =, then the order that the rows are wanted in. NULL: that is not one of this table's columns. */
static const char *list_with_order(const struct scan *scan, const struct what_if_table *table, const struct pick *pick,
                                   struct arena *arena)
{
    const char *list = list_columns(pick, pick->equal_count, arena);
    const struct what_if_column *column;
    for (int i = 0; i < scan->sort_key_count; i++) {
        const char *text = column_of_key(table, scan->sort_keys[i], &column);
        if (text == NULL)
            return NULL;
        if (!is_equal_column(pick, column))
            list = add_to_list(list, text, arena);
    }
    return scan->sort_key_count > 0 ? list : NULL;
}

/* ---- judging ---- */

static const char *create_text(struct search *s, const struct what_if_table *table, const char *columns)
{
    /* PostgreSQL cannot make one on all partitions in that way. */
    return arena_printf(s->arena, "CREATE INDEX %sON %s (%s);", table->is_partition ? "" : "CONCURRENTLY ", table->name,
                        columns);
}

static const char *size_text(struct search *s, const struct what_if_table *table)
{
    return arena_printf(s->arena, "%s (%s%s, %s)", table->name,
                        table->rows >= 0 ? format_count((int64_t)table->rows).s : "never analyzed",
                        table->rows >= 0 ? " rows" : "", format_bytes(table->bytes).s);
}

/* That of the join, too: what is read for each of its other side's rows. */
static const char *condition_of(struct search *s, const struct scan *scan)
{
    if (*scan->filter == '\0' || *scan->join == '\0')
        return *scan->filter != '\0' ? scan->filter : scan->join;
    return arena_printf(s->arena, "(%s AND %s)", scan->filter, scan->join);
}

/* What the statement would cost; as it is where that cannot be told, or columns are NULL. */
static double cost_with(struct search *s, const struct what_if_table *table, const char *columns)
{
    struct err why;
    struct scans scans;
    double cost = s->cost;
    if (columns == NULL)
        return cost;
    if (what_if_index(s->what_if, arena_printf(s->arena, "CREATE INDEX ON %s (%s)", table->name, columns), &why)) {
        const char *plan = what_if_plan(s->what_if, s->statement, s->arena, &why);
        if (plan != NULL && scans_in_plan(plan, s->arena, &scans))
            cost = scans.cost;
    }
    what_if_drop_indexes(s->what_if);
    return cost;
}

/* purpose: why the table is read. */
static bool judge_cost(struct search *s, const struct what_if_table *table, const char *columns, double with,
                       const char *purpose)
{
    if (columns == NULL || with * LEAST_GAIN > s->cost)
        return false;
    advices_add(s->advices, ADVICE_INDEX, s->route->name, create_text(s, table, columns),
                "reads %s to %s; its cost falls from %.0f to %.0f, says HypoPG", size_text(s, table), purpose, s->cost,
                with);
    return true;
}

static const char *expression_of(struct search *s, const struct scan *scan, const struct what_if_table *table)
{
    const char *expression = condition_expression(scan->filter, table->alias, s->arena);
    return expression != NULL ? arena_printf(s->arena, "(%s)", expression) : NULL;
}

/* Each column must be worth it: the order comes in where it makes the statement cheaper by as much again. What a join
 * looks up, row by row, has no order. */
static bool judge_costs(struct search *s, const struct scan *scan, const struct what_if_table *table,
                        const struct pick *of_filter)
{
    struct pick all;
    pick_columns(table, condition_of(s, scan), &all);
    const char *columns = all.count > 0 ? list_columns(&all, all.count, s->arena) : expression_of(s, scan, table);
    const char *ordered = list_with_order(scan, table, of_filter, s->arena);
    double with = cost_with(s, table, columns), with_order = cost_with(s, table, ordered);
    const char *find = arena_printf(s->arena, "find those of %s", condition_of(s, scan));
    const char *sort =
        of_filter->count > 0 ? arena_printf(s->arena, "find and sort those of %s", scan->filter) : "sort them";
    return (with_order * LEAST_GAIN <= with && judge_cost(s, table, ordered, with_order, sort)) ||
           judge_cost(s, table, columns, with, find);
}

/* Along an index a LIMIT ends the scan, but not where a page has as many rows as are there. */
static bool finds_few(const struct scan *scan, const struct what_if_table *table)
{
    bool reads_most = scan->sequential || scan->rows <= PAGE_ROWS;
    return reads_most && *scan->filter != '\0' && scan->rows * SELECTIVE <= table->rows;
}

/* By its plan alone. One that does not use an index that is there has its reasons. */
static void judge_plan(struct search *s, const struct scan *scan, const struct what_if_table *table,
                       const struct pick *pick)
{
    if (table->rows < 0)
        advices_unknown(s->advices, s->route->name, "%s was never analyzed", table->name);
    else if (finds_few(scan, table) && !what_if_is_indexed(s->what_if, table, pick->columns, pick->count, s->arena))
        advices_add(s->advices, ADVICE_INDEX, s->route->name,
                    create_text(s, table, list_columns(pick, pick->count, s->arena)),
                    "reads %s to find %.0f of them: %s", size_text(s, table), scan->rows, scan->filter);
}

/* A filter that compares no column as an index has it. */
static void judge_filter(struct search *s, const struct scan *scan, const struct what_if_table *table)
{
    if (finds_few(scan, table) && table->rows >= LARGE_ROWS)
        advices_add(s->advices, ADVICE_SCAN, s->route->name,
                    arena_printf(s->arena,
                                 "another condition, or an index on an expression or of another kind (pg_trgm,"
                                 " GIN): perfctl explain %s",
                                 s->route->name),
                    "reads %s to find %.0f of them: %s", size_text(s, table), scan->rows, scan->filter);
}

static void look_at_scan(struct search *s, const struct scan *scan)
{
    struct err err;
    struct pick pick;
    struct what_if_table table;
    if (!what_if_table(s->what_if, scan->schema, scan->table, scan->alias, &table, s->arena, &err)) {
        advices_unknown(s->advices, s->route->name, "%s", err.text);
        return;
    }
    if (table.column_count == 0 || table.bytes < TABLE_BYTES)
        return;
    bool costs = what_if_has_indexes(s->what_if) && !table.is_partition;
    pick_columns(&table, scan->filter, &pick);
    bool told = costs && judge_costs(s, scan, &table, &pick);
    if (pick.count == 0 && !told)
        judge_filter(s, scan, &table);
    else if (pick.count > 0 && !costs)
        judge_plan(s, scan, &table, &pick);
}

/* ---- routes ---- */

static void look_at_statement(struct search *s)
{
    struct err err;
    struct scans scans;
    const char *plan = what_if_plan(s->what_if, s->statement, s->arena, &err);
    if (plan == NULL) {
        advices_unknown(s->advices, s->route->name, "%s", err.text);
        return;
    }
    if (!scans_in_plan(plan, s->arena, &scans))
        return;
    s->cost = scans.cost;
    for (int i = 0; i < scans.count; i++)
        look_at_scan(s, &scans.list[i]);
}

static void look_at_route(struct search *s)
{
    struct err err;
    const struct query *query = route_query(s->route, s->arena, &err);
    if (query == NULL)
        advices_unknown(s->advices, s->route->name, "%s", err.text);
    for (int i = 0; query != NULL && i < query->statement_count; i++) {
        s->statement = &query->statements[i];
        look_at_statement(s);
    }
    arena_reset(s->arena);
}

bool advise_indexes(const struct conf *conf, const char *url, int64_t timeout_us, struct advices *advices,
                    struct err *err)
{
    struct search s = {.what_if = what_if_open(url, timeout_us, err), .advices = advices};
    if (s.what_if == NULL)
        return false;
    s.arena = arena_create();
    for (int i = 0; i < conf->route_count; i++) {
        s.route = &conf->routes[i];
        if (s.route->from == FROM_SQL)
            look_at_route(&s);
    }
    arena_destroy(&s.arena);
    what_if_close(&s.what_if);
    return true;
}
