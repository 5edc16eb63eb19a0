#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_SHOWN = 20 };

static const enum metric metrics[] = {
    STAT_cache_entries,        STAT_cache_entries_max,  STAT_cache_used_bytes, STAT_cache_size_bytes,
    STAT_cache_hits,           STAT_cache_misses,       STAT_cache_stale,      STAT_cache_negative_hits,
    STAT_cache_coalesced,      STAT_cache_waiting,      STAT_cache_unshared,   STAT_cache_taken_over,
    STAT_cache_refused,        STAT_cache_refreshes,    STAT_cache_lent,       STAT_cache_puts,
    STAT_cache_put_failures,   STAT_invalidations,      STAT_listener_up,      STAT_listener_reconnects,
    STAT_notifications,        STAT_notified_tags,      STAT_cache_evicted,    STAT_cache_promoted,
    STAT_cache_expired,        STAT_cache_compressed,   STAT_cache_segments,   STAT_cache_segments_free,
    STAT_cache_segments_limbo, STAT_cache_away_bytes,   STAT_cache_recovered,  STAT_redis_hits,
    STAT_redis_misses,         STAT_redis_skipped,      STAT_redis_stores,     STAT_redis_too_large,
    STAT_redis_errors,         STAT_redis_trips,        STAT_redis_up,         STAT_redis_listening,
    STAT_redis_heard_tags,     STAT_redis_bad_messages,
};

/* Shares that are read more often than their parts. */
struct ratio {
    const char *name, *help;
    enum metric part, rest; /* part / (part + rest), or part / rest where rest is the whole */
    bool rest_is_whole;
};

static const struct ratio ratios[] = {
    {"cache_hit_ratio", "of the lookups in shared memory", STAT_cache_hits, STAT_cache_misses, false},
    {"redis_hit_ratio", "of the lookups in Redis", STAT_redis_hits, STAT_redis_misses, false},
    {"cache_entries_ratio", "of the entries that fit", STAT_cache_entries, STAT_cache_entries_max, true},
    {"cache_bytes_ratio", "of the memory in use", STAT_cache_used_bytes, STAT_cache_size_bytes, true},
};

static void read_ratio(const struct snapshot *s, const struct ratio *ratio, int64_t *part, int64_t *whole)
{
    *part = snapshot_sum(s, ratio->part);
    *whole = snapshot_sum(s, ratio->rest) + (ratio->rest_is_whole ? 0 : *part);
}

/* ---- routes ---- */

/* Of the cache, and their titles. */
static const struct {
    enum route_stat stat;
    const char *title;
} columns[] = {{ROUTE_STAT_hits, "HITS"},        {ROUTE_STAT_misses, "MISSES"},   {ROUTE_STAT_coalesced, "COALESCED"},
               {ROUTE_STAT_redis_hits, "REDIS"}, {ROUTE_STAT_stale, "STALE"},     {ROUTE_STAT_expired, "EXPIRED"},
               {ROUTE_STAT_idle, "IDLE"},        {ROUTE_STAT_dropped, "DROPPED"}, {ROUTE_STAT_evicted, "EVICTED"},
               {ROUTE_STAT_entries, "ENTRIES"},  {ROUTE_STAT_kept_bytes, "BYTES"}};

/* A route that is not cached has nothing of all that. */
static bool has_any(const struct snapshot *s, int row)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (snapshot_route(s, row, columns[i].stat) != 0)
            return true;
    return false;
}

static void put_lookups(const struct snapshot *s, int row, int64_t *hits, int64_t *lookups)
{
    *hits = snapshot_route(s, row, ROUTE_STAT_hits);
    *lookups = *hits + snapshot_route(s, row, ROUTE_STAT_misses) + snapshot_route(s, row, ROUTE_STAT_stale);
}

static void add_routes(cJSON *document, const struct snapshot *s)
{
    cJSON *routes = cJSON_AddArrayToObject(document, "routes");
    for (int row = 0; row < s->routes; row++) {
        int64_t hits, lookups;
        if (!has_any(s, row))
            continue;
        cJSON *route = cJSON_CreateObject();
        cJSON_AddStringToObject(route, "route", s->names[row]);
        for (size_t i = 0; i < ARRAY_LEN(columns); i++)
            document_int(route, route_stat_infos[columns[i].stat].name, snapshot_route(s, row, columns[i].stat));
        put_lookups(s, row, &hits, &lookups);
        document_ratio(route, "hit_ratio", hits, lookups);
        cJSON_AddItemToArray(routes, route);
    }
}

static void print_routes(const struct snapshot *s)
{
    char titles[256] = "<ROUTE|HIT";
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        snprintf(titles + strlen(titles), sizeof titles - strlen(titles), "|%s", columns[i].title);
    struct table *table = table_create(titles);
    for (int row = 0; row < s->routes; row++) {
        int64_t hits, lookups;
        if (!has_any(s, row))
            continue;
        put_lookups(s, row, &hits, &lookups);
        table_cell(table, "%s", s->names[row]);
        table_cell(table, "%s", format_percent(hits, lookups).s);
        for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
            int64_t value = snapshot_route(s, row, columns[i].stat);
            bool bytes = columns[i].stat == ROUTE_STAT_kept_bytes;
            table_cell(table, "%s", bytes ? format_bytes(value).s : format_count(value).s);
        }
    }
    table_print(&table);
    putchar('\n');
}

/* ---- keys ---- */

static bool read_top(const struct ctl *ctl, int *top)
{
    const char *text = ctl_value(ctl, OPTION_top);
    char *end = NULL;
    long n = text != NULL ? strtol(text, &end, 10) : KEYS_SHOWN;
    *top = (int)MIN(n, (long)INT_MAX);
    return n > 0 && (text == NULL || *end == '\0');
}

static const char *route_of(const struct snapshot *s, const struct heavy_item *item)
{
    return item->row < s->routes ? s->names[item->row] : "?";
}

static void print_keys(const struct ctl *ctl, const struct heavy_list *list, int count)
{
    struct table *table = table_create("<ROUTE|COUNT|ERROR|SHARE|<KEY");
    for (int i = 0; i < count; i++) {
        const struct heavy_item *item = &list->items[i];
        table_cell(table, "%s", route_of(ctl->figures, item));
        table_cell(table, "%s", format_count((int64_t)item->count).s);
        table_cell(table, "%s", format_count((int64_t)item->error).s);
        table_cell(table, "%s", format_percent((int64_t)item->count, (int64_t)list->total).s);
        table_cell(table, "%s%s", item->text, item->cut ? "..." : "");
    }
    table_print(&table);
}

static enum ctl_exit print_keys_document(const struct ctl *ctl, const struct heavy_list *list, int count)
{
    cJSON *document = document_create(ctl);
    document_int(document, "total", (int64_t)list->total);
    cJSON *keys = cJSON_AddArrayToObject(document, "keys");
    for (int i = 0; i < count; i++) {
        const struct heavy_item *item = &list->items[i];
        cJSON *key = cJSON_CreateObject();
        cJSON_AddStringToObject(key, "route", route_of(ctl->figures, item));
        cJSON_AddStringToObject(key, "key", item->text);
        cJSON_AddBoolToObject(key, "cut", item->cut);
        document_int(key, "count", (int64_t)item->count);
        document_int(key, "error", (int64_t)item->error);
        cJSON_AddItemToArray(keys, key);
    }
    return document_print(ctl, &document);
}

/* What came not once for sure, the last in the list, tells nothing. */
static enum ctl_exit show_keys(const struct ctl *ctl)
{
    int top, count = 0;
    enum ctl_exit code = CTL_OK;
    if (!read_top(ctl, &top))
        return ctl_wrong_usage("--top is a number from 1, not", ctl_value(ctl, OPTION_top));
    struct heavy_list *list = snapshot_heavy(ctl->figures, SLOT_SECTION_keys);
    if (list == NULL)
        return ctl_fail(ctl, "the file has no keys that this perfctl knows; use the one of its perfd",
                        ctl->figures->version);
    while (count < MIN(list->count, top) && list->items[count].count > list->items[count].error)
        count++;
    if (ctl->output == OUTPUT_TABLE)
        print_keys(ctl, list, count);
    else
        code = print_keys_document(ctl, list, count);
    free(list);
    return code;
}

/* ---- the whole ---- */

static enum ctl_exit print_document(const struct ctl *ctl)
{
    cJSON *document = document_create(ctl);
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        document_int(document, stat_infos[metrics[i]].name, snapshot_sum(ctl->figures, metrics[i]));
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        int64_t part, whole;
        read_ratio(ctl->figures, &ratios[i], &part, &whole);
        document_ratio(document, ratios[i].name, part, whole);
    }
    add_routes(document, ctl->figures);
    return document_print(ctl, &document);
}

enum ctl_exit command_cache(const struct ctl *ctl)
{
    if (ctl_value(ctl, OPTION_keys) != NULL)
        return show_keys(ctl);
    if (ctl_value(ctl, OPTION_top) != NULL)
        return ctl_wrong_usage("--top goes with", "--keys");
    if (ctl->output != OUTPUT_TABLE)
        return print_document(ctl);
    print_routes(ctl->figures);
    struct table *table = table_create("<FIGURE|VALUE|<MEANING");
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
        const struct stat_info *info = &stat_infos[metrics[i]];
        table_cell(table, "%s", info->name);
        table_cell(table, "%s", format_value(snapshot_sum(ctl->figures, metrics[i]), info->unit).s);
        table_cell(table, "%s", info->help);
    }
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        int64_t part, whole;
        read_ratio(ctl->figures, &ratios[i], &part, &whole);
        table_cell(table, "%s", ratios[i].name);
        table_cell(table, "%s", format_percent(part, whole).s);
        table_cell(table, "%s", ratios[i].help);
    }
    table_print(&table);
    return CTL_OK;
}
