#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "shm/openmetrics.h"

#include <stdio.h>
#include <string.h>

bool stats_is_of_one_process(const char *name)
{
    static const char *const names[] = {"pid", "state", "started_us", "beat_us", "loop_stuck_at"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void add_metric(cJSON *to, const struct stat_info *info, int64_t value)
{
    cJSON *metric = cJSON_AddObjectToObject(to, info->name);
    document_int(metric, "value", value);
    cJSON_AddStringToObject(metric, "kind", info->counter ? "counter" : "gauge");
    cJSON_AddStringToObject(metric, "unit", info->unit);
    cJSON_AddStringToObject(metric, "help", info->help);
}

/* What the file has, whatever this perfctl knows. */
void stats_put(cJSON *document, const struct snapshot *s)
{
    struct histogram h;
    const struct stat_list *stats = &s->lists[SCOPE_SLOT], *hists = &s->lists[SCOPE_HIST];
    cJSON *metrics = cJSON_AddObjectToObject(document, "metrics");
    for (int i = 0; i < stats->count; i++)
        add_metric(metrics, &stats->infos[i], snapshot_sum_at(s, i));
    cJSON *histograms = cJSON_AddObjectToObject(document, "histograms");
    for (int i = 0; i < hists->count; i++) {
        cJSON *histogram = cJSON_AddObjectToObject(histograms, hists->infos[i].name);
        snapshot_hist_at(s, i, &h);
        document_histogram(histogram, &h);
        cJSON_AddStringToObject(histogram, "help", hists->infos[i].help);
    }
}

static enum ctl_exit print_openmetrics(const struct ctl *ctl)
{
    struct buf text = {0};
    openmetrics_write(&text, ctl->figures);
    fwrite(text.at, 1, text.len, stdout);
    buf_deinit(&text);
    return CTL_OK;
}

static void print_figures(const struct snapshot *s)
{
    struct table *figures = table_create("<FIGURE|VALUE|<MEANING");
    for (int i = 0; i < s->lists[SCOPE_SLOT].count; i++) {
        const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[i];
        if (stats_is_of_one_process(info->name))
            continue;
        table_cell(figures, "%s", info->name);
        table_cell(figures, "%s", format_value(snapshot_sum_at(s, i), info->unit).s);
        table_cell(figures, "%s", info->help);
    }
    table_print(&figures);
}

static void print_times(const struct snapshot *s)
{
    struct histogram h;
    struct table *times = table_create("<TIME|COUNT|P50|P95|P99|MAX|<MEANING");
    for (int i = 0; i < s->lists[SCOPE_HIST].count; i++) {
        snapshot_hist_at(s, i, &h);
        table_cell(times, "%s", s->lists[SCOPE_HIST].infos[i].name);
        table_cell(times, "%s", format_count((int64_t)histogram_count(&h)).s);
        table_cell(times, "%s", format_quantile(&h, 0.50).s);
        table_cell(times, "%s", format_quantile(&h, 0.95).s);
        table_cell(times, "%s", format_quantile(&h, 0.99).s);
        table_cell(times, "%s", format_quantile(&h, 1).s);
        table_cell(times, "%s", s->lists[SCOPE_HIST].infos[i].help);
    }
    table_print(&times);
}

void stats_print(const struct snapshot *s)
{
    print_figures(s);
    putchar('\n');
    print_times(s);
}

enum ctl_exit command_stats(const struct ctl *ctl)
{
    if (ctl->output == OUTPUT_PROM)
        return print_openmetrics(ctl);
    if (ctl->output == OUTPUT_TABLE) {
        stats_print(ctl->figures);
        return CTL_OK;
    }
    cJSON *document = document_create(ctl);
    stats_put(document, ctl->figures);
    return document_print(ctl, &document);
}
