#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <stdlib.h>

/* A route's figures, or the total's. */
struct figures {
    const char *name;
    int64_t counts[ROUTE_STAT_COUNT];
    struct histogram by_kind[ROUTE_HIST_COUNT];
    struct histogram all;
};

static void read_row(const struct snapshot *s, int row, struct figures *f)
{
    *f = (struct figures){.name = s->names[row]};
    for (int i = 0; i < ROUTE_STAT_COUNT; i++)
        f->counts[i] = snapshot_route(s, row, (enum route_stat)i);
    for (int i = 0; i < ROUTE_HIST_COUNT; i++) {
        f->by_kind[i] = *snapshot_route_hist(s, row, (enum route_hist)i);
        histogram_add(&f->all, &f->by_kind[i]);
    }
}

static void add_figures(struct figures *sum, const struct figures *f)
{
    for (int i = 0; i < ROUTE_STAT_COUNT; i++)
        if (route_stat_infos[i].counter)
            sum->counts[i] += f->counts[i];
    for (int i = 0; i < ROUTE_HIST_COUNT; i++)
        histogram_add(&sum->by_kind[i], &f->by_kind[i]);
    histogram_add(&sum->all, &f->all);
}

static int64_t judged(const struct figures *f)
{
    return f->counts[ROUTE_STAT_within_objective] + f->counts[ROUTE_STAT_over_objective];
}

static void put_figures(cJSON *object, const struct snapshot *s, const struct figures *f)
{
    cJSON_AddStringToObject(object, "route", f->name);
    for (int i = 0; i < ROUTE_STAT_COUNT; i++)
        if (s->index_of_route_stat[i] >= 0) /* else the file does not have it */
            document_int(object, route_stat_infos[i].name, f->counts[i]);
    document_ratio(object, "hit_ratio", f->counts[ROUTE_STAT_hits], f->counts[ROUTE_STAT_requests]);
    document_ratio(object, "over_ratio", f->counts[ROUTE_STAT_over_objective], judged(f));
    document_histogram(object, &f->all);
    for (int i = 0; i < ROUTE_HIST_COUNT; i++)
        document_histogram(cJSON_AddObjectToObject(object, route_hist_infos[i].name), &f->by_kind[i]);
}

/* Which share was slower than the objective; the total's is of all routes that have one. */
static void put_objective(struct table *table, const struct figures *f)
{
    int64_t objective_us = f->counts[ROUTE_STAT_objective_us];
    table_cell(table, "%s", objective_us > 0 ? format_us(objective_us).s : "-");
    table_cell(table, "%s", format_percent(f->counts[ROUTE_STAT_over_objective], judged(f)).s);
}

static void put_row(struct table *table, const struct figures *f)
{
    static const enum route_stat rest[] = {ROUTE_STAT_coalesced,  ROUTE_STAT_redis_hits, ROUTE_STAT_not_modified,
                                           ROUTE_STAT_errors_4xx, ROUTE_STAT_errors_5xx, ROUTE_STAT_limited,
                                           ROUTE_STAT_refused};
    static const double quantiles[] = {0.50, 0.95, 0.99};
    int64_t requests = f->counts[ROUTE_STAT_requests], hits = f->counts[ROUTE_STAT_hits];
    table_cell(table, "%s", f->name);
    table_cell(table, "%s", format_count(requests).s);
    table_cell(table, "%s", format_count(hits).s);
    table_cell(table, "%s", format_percent(hits, requests).s);
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        table_cell(table, "%s", format_count(f->counts[rest[i]]).s);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        table_cell(table, "%s", format_quantile(&f->all, quantiles[i]).s);
}

/* Every route in the order of their making, then the total. Row 0 is what found no row of its own: it comes last of the
 * routes, and only if there was any. */
static struct figures *read_all(const struct snapshot *s, int *count_out)
{
    int rows = s->routes, count = 0;
    struct figures *all = xcalloc((size_t)rows + 1, sizeof *all), total = {.name = "total"};
    for (int i = 1; i <= rows; i++) {
        read_row(s, i % rows, &all[count]);
        add_figures(&total, &all[count]);
        count += i < rows || all[count].counts[ROUTE_STAT_requests] > 0;
    }
    all[count++] = total;
    *count_out = count;
    return all;
}

void routes_put(cJSON *document, const struct snapshot *s)
{
    int count;
    struct figures *all = read_all(s, &count);
    cJSON *routes = cJSON_AddArrayToObject(document, "routes");
    for (int i = 0; i < count - 1; i++)
        put_figures(document_row(routes), s, &all[i]);
    put_figures(cJSON_AddObjectToObject(document, "total"), s, &all[count - 1]);
    free(all);
}

void routes_print(const struct snapshot *s)
{
#define HEADS "<ROUTE|REQUESTS|HITS|HIT|COALESCED|REDIS|304|4XX|5XX|LIMITED|REFUSED|P50|P95|P99"
    int count;
    bool objectives = false;
    struct figures *all = read_all(s, &count);
    for (int i = 0; i < count; i++)
        objectives |= all[i].counts[ROUTE_STAT_objective_us] > 0;
    struct table *table = table_create(objectives ? HEADS "|OBJECTIVE|OVER" : HEADS);
    for (int i = 0; i < count; i++) {
        put_row(table, &all[i]);
        if (objectives)
            put_objective(table, &all[i]);
    }
    table_print(&table);
    free(all);
#undef HEADS
}

enum ctl_exit command_routes(const struct ctl *ctl)
{
    if (ctl->output == OUTPUT_TABLE) {
        routes_print(ctl->figures);
        return CTL_OK;
    }
    cJSON *document = document_create(ctl);
    routes_put(document, ctl->figures);
    return document_print(ctl, &document);
}
