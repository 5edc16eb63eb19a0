#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "shm/openmetrics.h"

#include <stdio.h>

/* Figures that say something of one process only; over all they stand in the document, but help no reader. */
static bool is_of_one_process(int stat)
{
    return stat == STAT_pid || stat == STAT_state || stat == STAT_started_us || stat == STAT_beat_us ||
           stat == STAT_loop_stuck_at;
}

static void add_metric(cJSON *to, const struct stat_info *info, int64_t value)
{
    cJSON *metric = cJSON_AddObjectToObject(to, info->name);
    document_int(metric, "value", value);
    cJSON_AddStringToObject(metric, "kind", info->counter ? "counter" : "gauge");
    cJSON_AddStringToObject(metric, "unit", info->unit);
    cJSON_AddStringToObject(metric, "help", info->help);
}

void stats_put(cJSON *document, const struct snapshot *s)
{
    struct histogram h;
    cJSON *metrics = cJSON_AddObjectToObject(document, "metrics");
    for (int i = 0; i < STAT_COUNT; i++)
        add_metric(metrics, &stat_infos[i], snapshot_sum(s, (enum metric)i));
    cJSON *histograms = cJSON_AddObjectToObject(document, "histograms");
    for (int i = 0; i < HIST_COUNT; i++) {
        cJSON *histogram = cJSON_AddObjectToObject(histograms, hist_infos[i].name);
        snapshot_hist(s, (enum stat_hist)i, &h);
        document_histogram(histogram, &h);
        cJSON_AddStringToObject(histogram, "help", hist_infos[i].help);
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
    for (int i = 0; i < STAT_COUNT; i++) {
        if (is_of_one_process(i))
            continue;
        table_cell(figures, "%s", stat_infos[i].name);
        table_cell(figures, "%s", format_value(snapshot_sum(s, (enum metric)i), stat_infos[i].unit).s);
        table_cell(figures, "%s", stat_infos[i].help);
    }
    table_print(&figures);
}

static void print_times(const struct snapshot *s)
{
    struct histogram h;
    struct table *times = table_create("<TIME|COUNT|P50|P95|P99|MAX|<MEANING");
    for (int i = 0; i < HIST_COUNT; i++) {
        snapshot_hist(s, (enum stat_hist)i, &h);
        table_cell(times, "%s", hist_infos[i].name);
        table_cell(times, "%s", format_count((int64_t)histogram_count(&h)).s);
        table_cell(times, "%s", format_quantile(&h, 0.50).s);
        table_cell(times, "%s", format_quantile(&h, 0.95).s);
        table_cell(times, "%s", format_quantile(&h, 0.99).s);
        table_cell(times, "%s", format_quantile(&h, 1).s);
        table_cell(times, "%s", hist_infos[i].help);
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
