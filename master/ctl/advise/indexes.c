#include "common/clock.h"
#include "common/conf.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/advise/condition.h"
#include "master/ctl/format.h"
#include "sql/what_if.h"

#include <stdio.h>

#define TIMEOUT_US (10 * US_PER_S)
#define CREATE_FORMAT "CREATE INDEX CONCURRENTLY ON %s (%s);"
/* A smaller table is read as a whole in less time than an index takes. LEAST_GAIN: how many times cheaper the statement
 * must become, of what HypoPG says; SELECTIVE: which part of the rows is so few that an index pays, where nobody says.
 */
enum { TABLE_BYTES = 256 << 10, LEAST_GAIN = 2, SELECTIVE = 20, COLUMNS_MAX = 4 };

/* A part of a plan that reads a table and throws rows away. */
struct scan {
    const struct conf_route *route;
    const struct query_statement *statement;
    const cJSON *node;
    const cJSON *sort_keys; /* that its rows are sorted by afterwards; NULL: they are not */
    double cost;            /* of the statement as it is */
};

struct search {
    const struct ctl *ctl;
    struct what_if *what_if;
    struct arena *arena; /* of a statement */
    struct advices *advices;
};

static const char *text_of(const cJSON *node, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static double number_of(const cJSON *node, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* ---- the index ---- */

/* What is compared by =, then one range, which ends what an index narrows down. */
static int pick_columns(const struct what_if_table *table, const char *filter, const char *alias,
                        const char *columns[COLUMNS_MAX])
{
    int count = 0, equal;
    for (int i = 0; i < table->column_count && count < COLUMNS_MAX; i++)
        if (condition_compares(filter, alias, table->columns[i]) == COMPARED_EQUAL)
            columns[count++] = table->columns[i];
    equal = count;
    for (int i = 0; i < table->column_count && count < COLUMNS_MAX && count == equal; i++)
        if (condition_compares(filter, alias, table->columns[i]) == COMPARED_RANGE)
            columns[count++] = table->columns[i];
    return count;
}

static const char *list_columns(const char *const *columns, int count, struct arena *arena)
{
    const char *list = columns[0];
    for (int i = 1; i < count; i++)
        list = arena_printf(arena, "%s, %s", list, columns[i]);
    return list;
}

/* `posts.created_at DESC` is one; NULL where another table's, or an expression, is among them. */
static const char *list_sort_keys(const struct scan *scan, const char *list, struct arena *arena)
{
    const char *alias = text_of(scan->node, "Alias");
    const cJSON *key;
    size_t len = strlen(alias);
    cJSON_ArrayForEach(key, scan->sort_keys)
    {
        const char *text = cJSON_IsString(key) ? key->valuestring : "";
        if (strncmp(text, alias, len) != 0 || text[len] != '.' || strpbrk(text, "()") != NULL)
            return NULL;
        list = arena_printf(arena, "%s, %s", list, text + len + 1);
    }
    return list;
}

static double cost_of(const char *plan)
{
    cJSON *document = cJSON_Parse(plan);
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(document, 0), "Plan");
    double cost = number_of(top, "Total Cost");
    cJSON_Delete(document);
    return cost;
}

/* What the statement would cost; as it is where that cannot be told. */
static double cost_with(struct search *s, const struct scan *scan, const char *on)
{
    struct err err;
    const char *plan = NULL;
    if (what_if_index(s->what_if, arena_printf(s->arena, "CREATE INDEX ON %s", on), &err))
        plan = what_if_plan(s->what_if, scan->statement, s->arena, &err);
    what_if_drop_indexes(s->what_if);
    return plan != NULL ? cost_of(plan) : scan->cost;
}

/* By its plan alone: it finds few rows by reading all. */
static void judge_plan(struct search *s, const struct scan *scan, const struct what_if_table *table,
                       const char *columns)
{
    double found = number_of(scan->node, "Plan Rows");
    if (found * SELECTIVE <= table->rows)
        advices_add(
            s->advices, ADVICE_INDEX, scan->route->name, arena_printf(s->arena, CREATE_FORMAT, table->name, columns),
            "reads %s (%s rows, %s) to find %.0f of them: %s", table->name, format_count((int64_t)table->rows).s,
            format_bytes(table->bytes).s, found, text_of(scan->node, "Filter"));
}

static bool judge_cost(struct search *s, const struct scan *scan, const struct what_if_table *table,
                       const char *columns)
{
    double with = cost_with(s, scan, arena_printf(s->arena, "%s (%s)", table->name, columns));
    if (with * LEAST_GAIN > scan->cost)
        return false;
    advices_add(s->advices, ADVICE_INDEX, scan->route->name,
                arena_printf(s->arena, CREATE_FORMAT, table->name, columns),
                "reads %s (%s rows, %s) to find those of %s; its cost falls from %.0f to %.0f, says HypoPG",
                table->name, format_count((int64_t)table->rows).s, format_bytes(table->bytes).s,
                text_of(scan->node, "Filter"), scan->cost, with);
    return true;
}

/* The shorter index where it does. */
static void judge(struct search *s, const struct scan *scan, const struct what_if_table *table, const char *columns)
{
    if (!what_if_has_indexes(s->what_if)) {
        judge_plan(s, scan, table, columns);
        return;
    }
    const char *sorted = scan->sort_keys != NULL ? list_sort_keys(scan, columns, s->arena) : NULL;
    if (!judge_cost(s, scan, table, columns) && sorted != NULL)
        (void)judge_cost(s, scan, table, sorted);
}

/* ---- plans ---- */

static void look_at_scan(struct search *s, const struct scan *scan)
{
    struct err err;
    struct what_if_table table;
    const char *columns[COLUMNS_MAX];
    const char *name = text_of(scan->node, "Relation Name"), *schema = text_of(scan->node, "Schema");
    const char *filter = text_of(scan->node, "Filter"), *alias = text_of(scan->node, "Alias");
    if (name == NULL || schema == NULL || alias == NULL || filter == NULL ||
        text_of(scan->node, "Index Cond") != NULL || !what_if_table(s->what_if, schema, name, &table, s->arena, &err) ||
        table.bytes < TABLE_BYTES)
        return;
    int count = pick_columns(&table, filter, alias, columns);
    if (count > 0)
        judge(s, scan, &table, list_columns(columns, count, s->arena));
}

static void walk(struct search *s, const struct scan *of, const cJSON *node)
{
    struct scan scan = *of;
    const cJSON *child, *keys = cJSON_GetObjectItemCaseSensitive(node, "Sort Key");
    scan.node = node;
    scan.sort_keys = keys != NULL ? keys : scan.sort_keys;
    look_at_scan(s, &scan);
    cJSON_ArrayForEach(child, cJSON_GetObjectItemCaseSensitive(node, "Plans")) walk(s, &scan, child);
}

static void look_at_statement(struct search *s, const struct conf_route *route, const struct query_statement *statement)
{
    struct err err;
    const char *plan = what_if_plan(s->what_if, statement, s->arena, &err);
    if (plan == NULL) {
        fprintf(stderr, "perfctl: advise: %s: %s\n", route->name, err.text);
        return;
    }
    cJSON *document = cJSON_Parse(plan);
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(document, 0), "Plan");
    const struct scan whole = {.route = route, .statement = statement, .cost = number_of(top, "Total Cost")};
    if (top != NULL)
        walk(s, &whole, top);
    cJSON_Delete(document);
}

static void look_at_route(struct search *s, const struct conf_route *route)
{
    struct err err;
    const struct query *query = query_parse(slice_str(route->sql_text), s->arena, &err);
    for (int i = 0; query != NULL && i < query->statement_count; i++)
        look_at_statement(s, route, &query->statements[i]);
    arena_reset(s->arena);
}

bool advise_indexes(const struct ctl *ctl, const struct conf *conf, struct advices *advices)
{
    struct err err;
    const char *url = ctl_value(ctl, OPTION_url) != NULL ? ctl_value(ctl, OPTION_url) : conf->database.url;
    struct search s = {.ctl = ctl, .what_if = what_if_open(url, TIMEOUT_US, &err), .advices = advices};
    if (s.what_if == NULL) {
        (void)ctl_fail(ctl, err.text, "");
        return false;
    }
    s.arena = arena_create();
    for (int i = 0; i < conf->route_count; i++)
        if (conf->routes[i].from == FROM_SQL)
            look_at_route(&s, &conf->routes[i]);
    arena_destroy(&s.arena);
    what_if_close(&s.what_if);
    return true;
}
