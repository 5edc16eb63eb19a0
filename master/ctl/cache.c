#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

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
    return document_print(ctl, &document);
}

enum ctl_exit command_cache(const struct ctl *ctl)
{
    if (ctl->output != OUTPUT_TABLE)
        return print_document(ctl);
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
