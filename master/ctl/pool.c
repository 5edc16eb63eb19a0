#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

enum { TOTAL = -1 };

static const enum metric metrics[] = {STAT_pool_max,      STAT_pool_active,  STAT_pool_idle,       STAT_pool_connecting,
                                      STAT_pool_waiting,  STAT_pool_queries, STAT_pool_pipelined,  STAT_pool_combined,
                                      STAT_pool_repeated, STAT_pool_errors,  STAT_pool_timeouts,   STAT_pool_rejected,
                                      STAT_pool_opened,   STAT_pool_closed,  STAT_pool_max_wait_us};

static int64_t value_of(const struct stats *stats, int slot, enum metric stat)
{
    return slot == TOTAL ? stats_sum(stats, stat) : stats_get(stats, slot, stat);
}

static void read_wait(const struct stats *stats, int slot, struct histogram *out)
{
    if (slot == TOTAL)
        stats_hist_sum(stats, HIST_pool_wait, out);
    else
        stats_hist_get(stats, slot, HIST_pool_wait, out);
}

static void put_slot(cJSON *object, const struct stats *stats, int slot)
{
    struct histogram wait;
    if (slot != TOTAL)
        document_int(object, "slot", slot);
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        document_int(object, stat_infos[metrics[i]].name + sizeof "pool_" - 1, value_of(stats, slot, metrics[i]));
    read_wait(stats, slot, &wait);
    document_histogram(cJSON_AddObjectToObject(object, "wait"), &wait);
}

static void put_row(struct table *table, const struct stats *stats, int slot)
{
    struct histogram wait;
    if (slot == TOTAL)
        table_cell(table, "total");
    else
        table_cell(table, "%d", slot);
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
        int64_t value = value_of(stats, slot, metrics[i]);
        table_cell(table, "%s", (metrics[i] == STAT_pool_max_wait_us ? format_us(value) : format_count(value)).s);
    }
    read_wait(stats, slot, &wait);
    table_cell(table, "%s", format_quantile(&wait, 0.95).s);
    table_cell(table, "%s", format_quantile(&wait, 0.99).s);
}

enum ctl_exit command_pool(const struct ctl *ctl)
{
    int slots = stats_slots(ctl->stats);
    if (ctl->json) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "slots");
        for (int slot = 0; slot < slots; slot++) {
            cJSON *object = cJSON_CreateObject();
            put_slot(object, ctl->stats, slot);
            cJSON_AddItemToArray(list, object);
        }
        put_slot(cJSON_AddObjectToObject(document, "total"), ctl->stats, TOTAL);
        return document_print(&document);
    }
    struct table *table = table_create(
        "SLOT|MAX|ACTIVE|IDLE|CONNECTING|WAITING|QUERIES|PIPELINED|COMBINED|REPEATED|ERRORS|TIMEOUTS|REJECTED|OPENED|"
        "CLOSED|MAX WAIT|WAIT P95|WAIT P99");
    for (int slot = 0; slot < slots; slot++)
        put_row(table, ctl->stats, slot);
    put_row(table, ctl->stats, TOTAL);
    table_print(&table);
    return CTL_OK;
}
