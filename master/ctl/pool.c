#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

enum { TOTAL = DOCUMENT_ALL_SLOTS };

/* The primary's pool, and those of the replicas together: the same columns. Combined lookups go to the primary. */
enum { COLUMNS = 15, MAXIMUM = 0, ACTIVE = 1 }; /* of these columns */
#define NOT_COUNTED STAT_COUNT
static const enum metric primary_metrics[COLUMNS] = {
    STAT_pool_max,      STAT_pool_active,    STAT_pool_idle,     STAT_pool_connecting, STAT_pool_waiting,
    STAT_pool_queries,  STAT_pool_pipelined, STAT_pool_combined, STAT_pool_repeated,   STAT_pool_errors,
    STAT_pool_timeouts, STAT_pool_rejected,  STAT_pool_opened,   STAT_pool_closed,     STAT_pool_max_wait_us};
static const enum metric replica_metrics[COLUMNS] = {
    STAT_replica_max,      STAT_replica_active,  STAT_replica_idle,       STAT_replica_connecting,
    STAT_replica_waiting,  STAT_replica_queries, STAT_replica_pipelined,  NOT_COUNTED,
    STAT_replica_repeated, STAT_replica_errors,  STAT_replica_timeouts,   STAT_replica_rejected,
    STAT_replica_opened,   STAT_replica_closed,  STAT_replica_max_wait_us};

static int64_t value_of(const struct snapshot *s, int slot, enum metric stat)
{
    return slot == TOTAL ? snapshot_sum(s, stat) : snapshot_get(s, slot, stat);
}

static bool has_replicas(const struct snapshot *s)
{
    return snapshot_sum(s, STAT_replicas) > 0;
}

static void read_wait(const struct snapshot *s, int slot, struct histogram *out)
{
    if (slot == TOTAL)
        snapshot_hist(s, HIST_pool_wait, out);
    else
        *out = *snapshot_slot_hist(s, slot, HIST_pool_wait);
}

static void put_metrics(cJSON *object, const struct snapshot *s, int slot, const enum metric metrics[COLUMNS],
                        size_t prefix)
{
    for (int i = 0; i < COLUMNS; i++)
        if (metrics[i] != NOT_COUNTED)
            document_metric(object, stat_infos[metrics[i]].name + prefix, s, slot, metrics[i]);
}

static void put_replicas(cJSON *object, const struct snapshot *s, int slot)
{
    document_int(object, "count", value_of(s, slot, STAT_replicas));
    document_int(object, "usable", value_of(s, slot, STAT_replicas_usable));
    document_int(object, "lag_us", value_of(s, slot, STAT_replica_lag_us));
    document_int(object, "fallbacks", value_of(s, slot, STAT_replica_fallbacks));
    put_metrics(object, s, slot, replica_metrics, sizeof "replica_" - 1);
}

static void put_slot(cJSON *object, const struct snapshot *s, int slot)
{
    struct histogram wait;
    if (slot != TOTAL)
        document_int(object, "slot", slot);
    put_metrics(object, s, slot, primary_metrics, sizeof "pool_" - 1);
    document_ratio(object, "saturation", value_of(s, slot, STAT_pool_active), value_of(s, slot, STAT_pool_max));
    read_wait(s, slot, &wait);
    document_histogram(cJSON_AddObjectToObject(object, "wait"), &wait);
    if (has_replicas(s))
        put_replicas(cJSON_AddObjectToObject(object, "replicas"), s, slot);
}

static void put_cells(struct table *table, const struct snapshot *s, int slot, const enum metric metrics[COLUMNS])
{
    table_cell(table, "%s", format_percent(value_of(s, slot, metrics[ACTIVE]), value_of(s, slot, metrics[MAXIMUM])).s);
    for (int i = 0; i < COLUMNS - 1; i++)
        table_cell(table, "%s", metrics[i] == NOT_COUNTED ? "-" : format_count(value_of(s, slot, metrics[i])).s);
}

static void put_name(struct table *table, int slot, const char *pool)
{
    if (slot == TOTAL)
        table_cell(table, "total%s", pool);
    else
        table_cell(table, "%d%s", slot, pool);
}

/* The longest wait is that of the histogram, so that it is of the same time as all else. */
static void put_row(struct table *table, const struct snapshot *s, int slot)
{
    static const double quantiles[] = {0.95, 0.99, 1};
    struct histogram wait;
    put_name(table, slot, "");
    put_cells(table, s, slot, primary_metrics);
    read_wait(s, slot, &wait);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        table_cell(table, "%s", format_quantile(&wait, quantiles[i]).s);
    if (!has_replicas(s))
        return;
    for (int i = 0; i < 3; i++)
        table_cell(table, "-");
    put_name(table, slot, " replicas");
    put_cells(table, s, slot, replica_metrics);
    table_cell(table, "-");
    table_cell(table, "-");
    table_cell(table, "%s", format_us(value_of(s, slot, replica_metrics[COLUMNS - 1])).s);
    table_cell(table, "%s", format_count(value_of(s, slot, STAT_replicas_usable)).s);
    table_cell(table, "%s", format_us(value_of(s, slot, STAT_replica_lag_us)).s);
    table_cell(table, "%s", format_count(value_of(s, slot, STAT_replica_fallbacks)).s);
}

enum ctl_exit command_pool(const struct ctl *ctl)
{
    int slots = ctl->figures->slots;
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "slots");
        for (int slot = 0; slot < slots; slot++)
            put_slot(document_row(list), ctl->figures, slot);
        put_slot(cJSON_AddObjectToObject(document, "total"), ctl->figures, TOTAL);
        return document_print(ctl, &document);
    }
#define HEADS                                                                                                          \
    "SLOT|SATURATION|MAX|ACTIVE|IDLE|CONNECTING|WAITING|QUERIES|PIPELINED|COMBINED|REPEATED|ERRORS|TIMEOUTS|REJECTED|" \
    "OPENED|CLOSED|WAIT P95|WAIT P99|WAIT MAX"
    struct table *table = table_create(has_replicas(ctl->figures) ? HEADS "|USABLE|LAG|FALLBACKS" : HEADS);
#undef HEADS
    for (int slot = 0; slot < slots; slot++)
        put_row(table, ctl->figures, slot);
    put_row(table, ctl->figures, TOTAL);
    table_print(&table);
    return CTL_OK;
}
