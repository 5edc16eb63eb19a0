#include "master/ctl/log/summary.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <stdlib.h>

struct group {
    char *route; /* "-": lines of none */
    int64_t requests, hits, errors_4xx, errors_5xx, bytes;
    struct histogram times;
};

struct summary {
    struct group **groups;
    int count;
};

struct summary *summary_create(void)
{
    return xcalloc(1, sizeof(struct summary));
}

void summary_destroy(struct summary **summary)
{
    struct summary *s = *summary;
    *summary = NULL;
    for (int i = 0; i < s->count; i++) {
        free(s->groups[i]->route);
        free(s->groups[i]);
    }
    free(s->groups);
    free(s);
}

static struct group *group_of(struct summary *s, struct slice route)
{
    for (int i = 0; i < s->count; i++)
        if (slice_is(route, s->groups[i]->route))
            return s->groups[i];
    struct group *group = xcalloc(1, sizeof *group);
    group->route = xmalloc(route.len + 1);
    memcpy(group->route, route.at, route.len);
    group->route[route.len] = '\0';
    s->groups = xrealloc(s->groups, (size_t)(s->count + 1) * sizeof(struct group *));
    return s->groups[s->count++] = group;
}

/* Whatever the line says: a number that no counter takes is none. */
static int64_t whole(const struct line_value *value)
{
    return value->known && value->number >= 0 && value->number < 0x1p53 ? (int64_t)value->number : 0;
}

void summary_add(struct summary *s, const struct line *line)
{
    const struct line_value *route = &line->values[LINE_route], *cache = &line->values[LINE_cache];
    struct group *group = group_of(s, route->known ? route->text : SLICE("-"));
    int64_t status = whole(&line->values[LINE_status]);
    group->requests++;
    group->hits += cache->known && slice_is(cache->text, "HIT");
    group->errors_4xx += status >= 400 && status < 500;
    group->errors_5xx += status >= 500;
    group->bytes += whole(&line->values[LINE_bytes]);
    group->times.buckets[histogram_bucket(whole(&line->values[LINE_duration_us]))]++;
}

static void put_group(cJSON *list, const struct group *g)
{
    cJSON *object = document_row(list);
    cJSON_AddStringToObject(object, "route", g->route);
    document_int(object, "requests", g->requests);
    document_int(object, "hits", g->hits);
    document_int(object, "errors_4xx", g->errors_4xx);
    document_int(object, "errors_5xx", g->errors_5xx);
    document_int(object, "sent_bytes", g->bytes);
    document_histogram(object, &g->times);
}

static void put_row(struct table *table, const struct group *g)
{
    static const double quantiles[] = {0.50, 0.95, 0.99, 1};
    table_cell(table, "%s", g->route);
    table_cell(table, "%s", format_count(g->requests).s);
    table_cell(table, "%s", format_percent(g->hits, g->requests).s);
    table_cell(table, "%s", format_count(g->errors_4xx).s);
    table_cell(table, "%s", format_count(g->errors_5xx).s);
    table_cell(table, "%s", format_bytes(g->bytes).s);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        table_cell(table, "%s", format_quantile(&g->times, quantiles[i]).s);
}

enum ctl_exit summary_print(const struct summary *s, const struct ctl *ctl)
{
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "routes");
        for (int i = 0; i < s->count; i++)
            put_group(list, s->groups[i]);
        return document_print(ctl, &document);
    }
    struct table *table = table_create("<ROUTE|REQUESTS|HIT|4XX|5XX|SENT|P50|P95|P99|MAX");
    for (int i = 0; i < s->count; i++)
        put_row(table, s->groups[i]);
    table_print(&table);
    return CTL_OK;
}
