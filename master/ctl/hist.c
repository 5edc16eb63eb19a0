#include "master/ctl/chart.h"
#include "master/ctl/ctl.h"

#include <fnmatch.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ROWS = 40, COLUMNS = 100, COLUMNS_MIN = 60 };

/* The words of the command line as one, as a route is named. */
static void join_words(const struct ctl *ctl, char *name, size_t bytes)
{
    name[0] = '\0';
    for (int i = 0, at = 0; i < ctl->arg_count && at < (int)bytes; i++)
        at += snprintf(name + at, bytes - (size_t)at, "%s%s", i > 0 ? " " : "", ctl->args[i]);
}

/* Of all routes that the pattern matches; how many. Row 0 is what found none of its own: mostly nothing. */
static int sum_routes(const struct snapshot *s, const char *pattern, struct histogram by_kind[static ROUTE_HIST_COUNT])
{
    int found = 0;
    for (int row = 0; row < s->routes; row++) {
        if ((strcmp(pattern, s->names[row]) != 0 && fnmatch(pattern, s->names[row], 0) != 0) ||
            (row == 0 && snapshot_route(s, row, ROUTE_STAT_requests) == 0))
            continue;
        found++;
        for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++)
            histogram_add(&by_kind[kind], snapshot_route_hist(s, row, (enum route_hist)kind));
    }
    return found;
}

static void put_buckets(cJSON *object, const struct histogram *h)
{
    cJSON *list = cJSON_AddArrayToObject(object, "buckets");
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0) {
            cJSON *bucket = document_row(list);
            document_int(bucket, "upto_us", histogram_upper_us(i));
            document_int(bucket, "count", (int64_t)h->buckets[i]);
        }
}

/* Each bucket is a row of its CSV. */
static enum ctl_exit print_csv(const struct ctl *ctl, const struct histogram *by_kind)
{
    cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "buckets");
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t any = 0;
        cJSON *row = cJSON_CreateObject();
        document_int(row, "upto_us", histogram_upper_us(i));
        for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++) {
            document_int(row, route_hist_infos[kind].name, (int64_t)by_kind[kind].buckets[i]);
            any |= by_kind[kind].buckets[i];
        }
        if (any != 0)
            cJSON_AddItemToArray(list, row);
        else
            cJSON_Delete(row);
    }
    return document_print(ctl, &document);
}

static enum ctl_exit print_json(const struct ctl *ctl, const char *name, int routes, const struct histogram *by_kind)
{
    cJSON *document = document_create(ctl);
    cJSON_AddStringToObject(document, "route", name);
    document_int(document, "routes", routes);
    for (int kind = 0; kind < ROUTE_HIST_COUNT; kind++) {
        cJSON *object = cJSON_AddObjectToObject(document, route_hist_infos[kind].name);
        document_histogram(object, &by_kind[kind]);
        put_buckets(object, &by_kind[kind]);
    }
    return document_print(ctl, &document);
}

static int columns_of_output(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return MAX((int)size.ws_col, (int)COLUMNS_MIN);
    return COLUMNS;
}

enum ctl_exit command_hist(const struct ctl *ctl)
{
    char name[STATS_ROUTE_NAME_MAX];
    struct histogram by_kind[ROUTE_HIST_COUNT] = {0};
    join_words(ctl, name, sizeof name);
    int routes = sum_routes(ctl->figures, *name ? name : "*", by_kind);
    if (routes == 0)
        return ctl_fail(ctl, "no such route, see `perfctl routes`", name);
    if (ctl->output == OUTPUT_CSV)
        return print_csv(ctl, by_kind);
    if (ctl->output != OUTPUT_TABLE)
        return print_json(ctl, name, routes, by_kind);
    setlocale(LC_CTYPE, "");
    struct page *page = page_create(ROWS, columns_of_output());
    int at = page_put(page, 0, 0, STYLE_bold, "%s", *name ? name : "all routes");
    if (routes > 1)
        page_put(page, 0, at, STYLE_plain, " (%d)", routes);
    chart_histograms(page, 2, ROWS - 2, by_kind);
    page_print(page);
    page_destroy(&page);
    return CTL_OK;
}
