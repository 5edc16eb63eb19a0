#include "common/clock.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "shm/board.h"

static const char *state_name(int64_t state)
{
    return state >= 0 && state < PROC_STATE_COUNT ? proc_state_names[state] : "?";
}

static int64_t since_us(const struct ctl *ctl, int slot, enum metric stat)
{
    int64_t at_us = stats_get(ctl->stats, slot, stat);
    return at_us == 0 ? 0 : MAX(ctl->now_us - at_us, INT64_C(0));
}

static void put_worker(cJSON *workers, const struct ctl *ctl, int slot)
{
    static const enum metric metrics[] = {STAT_pid,       STAT_generation,     STAT_restarts,
                                          STAT_cpu_us,    STAT_resident_bytes, STAT_requests,
                                          STAT_in_flight, STAT_connections};
    cJSON *worker = cJSON_CreateObject();
    document_int(worker, "slot", slot);
    cJSON_AddStringToObject(worker, "state", state_name(stats_get(ctl->stats, slot, STAT_state)));
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        document_int(worker, stat_infos[metrics[i]].name, stats_get(ctl->stats, slot, metrics[i]));
    document_int(worker, "uptime_us", since_us(ctl, slot, STAT_started_us));
    document_int(worker, "beat_age_us", since_us(ctl, slot, STAT_beat_us));
    cJSON_AddItemToArray(workers, worker);
}

static void put_row(struct table *table, const struct ctl *ctl, int slot)
{
    const struct stats *s = ctl->stats;
    bool lives = stats_get(s, slot, STAT_pid) != 0;
    table_cell(table, "%d", slot);
    table_cell(table, lives ? "%lld" : "-", (long long)stats_get(s, slot, STAT_pid));
    table_cell(table, "%lld", (long long)stats_get(s, slot, STAT_generation));
    table_cell(table, "%s", state_name(stats_get(s, slot, STAT_state)));
    table_cell(table, "%s", lives ? format_age(since_us(ctl, slot, STAT_started_us)).s : "-");
    table_cell(table, "%s", format_count(stats_get(s, slot, STAT_restarts)).s);
    table_cell(table, "%.2f s", (double)stats_get(s, slot, STAT_cpu_us) / (double)US_PER_S);
    table_cell(table, "%s", format_bytes(stats_get(s, slot, STAT_resident_bytes)).s);
    table_cell(table, "%s", format_count(stats_get(s, slot, STAT_requests)).s);
    table_cell(table, "%s", format_count(stats_get(s, slot, STAT_in_flight)).s);
    table_cell(table, "%s", format_count(stats_get(s, slot, STAT_connections)).s);
    table_cell(table, "%s", lives ? format_age(since_us(ctl, slot, STAT_beat_us)).s : "-");
}

enum ctl_exit command_workers(const struct ctl *ctl)
{
    if (ctl->json) {
        cJSON *document = document_create(ctl);
        cJSON *workers = cJSON_AddArrayToObject(document, "workers");
        for (int slot = 0; slot < stats_slots(ctl->stats); slot++)
            put_worker(workers, ctl, slot);
        return document_print(&document);
    }
    struct table *table = table_create("SLOT|PID|GENERATION|<STATE|UPTIME|RESTARTS|CPU|RESIDENT|REQUESTS|IN FLIGHT|"
                                       "CONNECTIONS|LAST BEAT");
    for (int slot = 0; slot < stats_slots(ctl->stats); slot++)
        put_row(table, ctl, slot);
    table_print(&table);
    return CTL_OK;
}
