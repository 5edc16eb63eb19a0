#include "shm/history.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

static void put_quantile(cJSON *object, const char *name, int64_t us)
{
    if (us < 0)
        cJSON_AddNullToObject(object, name);
    else
        document_int(object, name, us);
}

static void put_point(cJSON *list, const struct history_point *p)
{
    cJSON *object = document_row(list);
    document_int(object, "at_us", p->at_us);
    document_int(object, "span_us", p->span_us);
#define HISTORY_COUNT(name, ...) document_int(object, #name, p->name);
#define HISTORY_SPENT HISTORY_COUNT
#define HISTORY_LEVEL HISTORY_COUNT
#define HISTORY_QUANTILE(name, ...) put_quantile(object, #name, p->name);
#include "shm/history.def"
}

static double per_second(const struct history_point *p, int64_t count)
{
    return 1e6 * (double)count / (double)p->span_us;
}

static void put_row(struct table *table, const struct history_point *p)
{
    const int64_t quantiles[] = {p->p50_us, p->p95_us, p->p99_us};
    const int64_t levels[] = {p->pool_active, p->pool_waiting, p->in_flight};
    table_cell(table, "%s", format_time(p->at_us).s);
    table_cell(table, "%.1f", per_second(p, p->requests));
    table_cell(table, "%s", format_count(p->errors_4xx).s);
    table_cell(table, "%s", format_count(p->errors_5xx).s);
    table_cell(table, "%s", format_percent(p->hits, p->hits + p->misses).s);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        table_cell(table, "%s", quantiles[i] < 0 ? "-" : format_us(quantiles[i]).s);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        table_cell(table, "%s", format_count(levels[i]).s);
    table_cell(table, "%s", format_percent(p->cpu_us, p->span_us).s);
    table_cell(table, "%s", format_bytes(p->private_bytes).s);
    table_cell(table, "%s", format_bytes(p->cache_used_bytes).s);
    table_cell(table, "%s", format_count(p->refused).s);
    table_cell(table, "%s", format_count(p->limited).s);
}

/* The latest last, as in a log. */
enum ctl_exit command_history(const struct ctl *ctl)
{
    struct history_point points[HISTORY_POINTS];
    enum history_scale scale = ctl_value(ctl, OPTION_minutes) != NULL ? HISTORY_MINUTES : HISTORY_SECONDS;
    int count = history_read(ctl->view, scale, points);
    if (count < 0)
        return ctl_fail(ctl, "the file has none that this perfctl knows; use the one of its perfd",
                        stats_view_version(ctl->view));
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "points");
        for (int i = 0; i < count; i++)
            put_point(list, &points[i]);
        return document_print(ctl, &document);
    }
    struct table *table = table_create(
        "<TIME|REQUESTS/S|4XX|5XX|HIT|P50|P95|P99|POOL|WAITING|IN FLIGHT|CPU|PRIVATE|CACHE|REFUSED|LIMITED");
    for (int i = 0; i < count; i++)
        put_row(table, &points[i]);
    table_print(&table);
    return CTL_OK;
}
