#include "master/ctl/cache.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_SHOWN = 20 };

/* Those of the cache and of Redis: a row of stats.def is all that a new one takes. */
static bool is_shown(const char *name)
{
    static const char *const beginnings[] = {"cache_", "redis_", "listener_", "notif", "invalidations"};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

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

const struct cache_column cache_columns[CACHE_COLUMNS] = {
#define CACHE_COLUMN(stat, title, rank) {ROUTE_STAT_##stat, title},
#include "master/ctl/cache_columns.def"
#undef CACHE_COLUMN
};

bool cache_has_route(const struct snapshot *s, int row)
{
    for (int i = 0; i < CACHE_COLUMNS; i++)
        if (snapshot_route(s, row, cache_columns[i].stat) != 0)
            return true;
    return false;
}

void cache_read_lookups(const struct snapshot *s, int row, int64_t *hits_out, int64_t *lookups_out)
{
    *hits_out = snapshot_route(s, row, ROUTE_STAT_hits);
    *lookups_out = *hits_out + snapshot_route(s, row, ROUTE_STAT_misses) + snapshot_route(s, row, ROUTE_STAT_stale);
}

static void add_routes(cJSON *document, const struct snapshot *s)
{
    cJSON *routes = cJSON_AddArrayToObject(document, "routes");
    for (int row = 0; row < s->routes; row++) {
        int64_t hits, lookups;
        if (!cache_has_route(s, row))
            continue;
        cJSON *route = document_row(routes);
        cJSON_AddStringToObject(route, "route", s->names[row]);
        for (int i = 0; i < CACHE_COLUMNS; i++)
            document_int(route, route_stat_infos[cache_columns[i].stat].name,
                         snapshot_route(s, row, cache_columns[i].stat));
        cache_read_lookups(s, row, &hits, &lookups);
        document_ratio(route, "hit_ratio", hits, lookups);
    }
}

static void print_routes(const struct snapshot *s)
{
    char titles[256] = "<ROUTE|HIT";
    for (int i = 0; i < CACHE_COLUMNS; i++)
        snprintf(titles + strlen(titles), sizeof titles - strlen(titles), "|%s", cache_columns[i].title);
    struct table *table = table_create(titles);
    for (int row = 0; row < s->routes; row++) {
        int64_t hits, lookups;
        if (!cache_has_route(s, row))
            continue;
        cache_read_lookups(s, row, &hits, &lookups);
        table_cell(table, "%s", s->names[row]);
        table_cell(table, "%s", format_percent(hits, lookups).s);
        for (int i = 0; i < CACHE_COLUMNS; i++) {
            int64_t value = snapshot_route(s, row, cache_columns[i].stat);
            bool bytes = cache_columns[i].stat == ROUTE_STAT_kept_bytes;
            table_cell(table, "%s", bytes ? format_bytes(value).s : format_count(value).s);
        }
    }
    table_print(&table);
    putchar('\n');
}

/* ---- keys ---- */

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
        cJSON *key = document_row(keys);
        cJSON_AddStringToObject(key, "route", route_of(ctl->figures, item));
        cJSON_AddStringToObject(key, "key", item->text);
        cJSON_AddBoolToObject(key, "cut", item->cut);
        document_int(key, "count", (int64_t)item->count);
        document_int(key, "error", (int64_t)item->error);
    }
    return document_print(ctl, &document);
}

/* What came not once for sure, the last in the list, tells nothing. */
static enum ctl_exit show_keys(const struct ctl *ctl)
{
    int count = 0;
    int64_t top;
    enum ctl_exit code = CTL_OK;
    if (!ctl_whole(ctl, OPTION_top, 1, INT_MAX, KEYS_SHOWN, &top))
        return CTL_USAGE;
    struct heavy_list *list = snapshot_heavy(ctl->figures, SLOT_SECTION_keys);
    if (list == NULL)
        return ctl_fail(ctl, "the file has no keys that this perfctl knows; use the one of its perfd",
                        ctl->figures->version);
    while (count < MIN(list->count, (int)top) && list->items[count].count > list->items[count].error)
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
    const struct stat_list *stats = &ctl->figures->lists[SCOPE_SLOT];
    for (int i = 0; i < stats->count; i++)
        if (is_shown(stats->infos[i].name))
            document_int(document, stats->infos[i].name, snapshot_sum_at(ctl->figures, i));
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        int64_t part, whole;
        read_ratio(ctl->figures, &ratios[i], &part, &whole);
        document_ratio(document, ratios[i].name, part, whole);
    }
    add_routes(document, ctl->figures);
    return document_print(ctl, &document);
}

static void print_figures(const struct snapshot *s)
{
    struct table *table = table_create("<FIGURE|VALUE|<MEANING");
    for (int i = 0; i < s->lists[SCOPE_SLOT].count; i++) {
        const struct stat_info *info = &s->lists[SCOPE_SLOT].infos[i];
        if (!is_shown(info->name))
            continue;
        table_cell(table, "%s", info->name);
        table_cell(table, "%s", format_value(snapshot_sum_at(s, i), info->unit).s);
        table_cell(table, "%s", info->help);
    }
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        int64_t part, whole;
        read_ratio(s, &ratios[i], &part, &whole);
        table_cell(table, "%s", ratios[i].name);
        table_cell(table, "%s", format_percent(part, whole).s);
        table_cell(table, "%s", ratios[i].help);
    }
    table_print(&table);
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
    print_figures(ctl->figures);
    return CTL_OK;
}
