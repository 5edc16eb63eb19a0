#include "master/ctl/check/scans.h"
#include "sql/explain.h"
#include "sql/keyset.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { FEW_SHARE = 10 /* that many times fewer rows come out than go in */, PAGE_ROWS = 51 };

static bool is_large_scan(const cJSON *node, const struct survey *survey)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, "Node Type"));
    const char *table = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, "Relation Name"));
    if (type == NULL || table == NULL || strstr(type, "Seq Scan") == NULL ||
        cJSON_GetObjectItemCaseSensitive(node, "Filter") == NULL)
        return false;
    int64_t rows = survey_rows(survey, table);
    double out = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(node, "Plan Rows"));
    return rows >= SCAN_ROWS && out * FEW_SHARE <= (double)rows;
}

/* Nodes stand in nodes, as deep as the query has it; cJSON reads no more than a thousand levels. */
static const cJSON *find_scan(const cJSON *item, const struct survey *survey)
{
    if (cJSON_IsObject(item) && is_large_scan(item, survey))
        return item;
    for (const cJSON *child = item->child; child != NULL; child = child->next) {
        const cJSON *found = cJSON_IsObject(child) || cJSON_IsArray(child) ? find_scan(child, survey) : NULL;
        if (found != NULL)
            return found;
    }
    return NULL;
}

const char *scans_in_plan(const char *json, const struct survey *survey, char buf[static 64])
{
    cJSON *plan = cJSON_Parse(json);
    const cJSON *scan = plan != NULL ? find_scan(plan, survey) : NULL;
    if (scan != NULL)
        snprintf(buf, 64, "%s", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(scan, "Relation Name")));
    cJSON_Delete(plan);
    return scan != NULL ? buf : NULL;
}

/* Whether PostgreSQL planned it. */
static bool look_at(const struct conf_route *route, const struct explain *explain, const struct survey *survey,
                    struct arena *arena, struct scans *out)
{
    struct err err;
    char table[64];
    struct buf plan = {0};
    struct query *query = query_parse(slice_str(route->sql_text), arena, &err);
    if (query == NULL)
        return false;
    if (route->page.key_count > 0) {
        const struct keyset_shape shape = {.first = true, .limit = PAGE_ROWS};
        query->statements[0].text = keyset_text(&route->page, &query->statements[0], &shape, arena);
    }
    buf_adds(&plan, "[");
    bool ok = explain_query(explain, query, &plan, &err);
    buf_adds(&plan, "]");
    buf_addc(&plan, '\0');
    if (ok && scans_in_plan(plan.at, survey, table) != NULL && out->found++ == 0)
        snprintf(out->first, sizeof out->first, "%.150s reads all of %s", route->name, table);
    buf_deinit(&plan);
    return ok;
}

void scans_find(const struct conf *conf, const char *url, const struct survey *survey, int64_t timeout_us,
                struct scans *out)
{
    const struct explain explain = {.url = url, .timeout_us = timeout_us, .json = true};
    struct arena *arena = arena_create();
    *out = (struct scans){0};
    for (int i = 0; i < conf->route_count; i++)
        if (conf->routes[i].from == FROM_SQL)
            out->not_planned += !look_at(&conf->routes[i], &explain, survey, arena, out);
    arena_destroy(&arena);
}
