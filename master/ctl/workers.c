#include "common/clock.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "master/ctl/words.h"

#include <stdio.h>

static int64_t since_us(const struct ctl *ctl, int slot, enum metric stat)
{
    int64_t at_us = snapshot_get(ctl->figures, slot, stat);
    return at_us == 0 ? 0 : MAX(ctl->now_us - at_us, INT64_C(0));
}

static void put_worker(cJSON *worker, const struct ctl *ctl, int slot)
{
    static const enum metric metrics[] = {STAT_pid,       STAT_generation,     STAT_accepts_for,   STAT_restarts,
                                          STAT_cpu_us,    STAT_resident_bytes, STAT_private_bytes, STAT_requests,
                                          STAT_in_flight, STAT_connections,    STAT_loop_blocked,  STAT_loop_starved};
    document_int(worker, "slot", slot);
    cJSON_AddStringToObject(worker, "state", words_state(snapshot_get(ctl->figures, slot, STAT_state)));
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        document_metric(worker, stat_infos[metrics[i]].name, ctl->figures, slot, metrics[i]);
    char loop[WORDS_LOOP_BYTES];
    (void)words_loop(ctl->figures, slot, loop);
    cJSON_AddStringToObject(worker, "loop", loop);
    document_int(worker, "uptime_us", since_us(ctl, slot, STAT_started_us));
    document_int(worker, "beat_age_us", since_us(ctl, slot, STAT_beat_us));
}

static void put_row(struct table *table, const struct ctl *ctl, int slot)
{
    const struct snapshot *s = ctl->figures;
    bool lives = snapshot_get(s, slot, STAT_pid) != 0;
    table_cell(table, "%d", slot);
    table_cell(table, lives ? "%lld" : "-", (long long)snapshot_get(s, slot, STAT_pid));
    table_cell(table, "%lld", (long long)snapshot_get(s, slot, STAT_generation));
    table_cell(table, "%s", words_state(snapshot_get(s, slot, STAT_state)));
    table_cell(table, "%s", lives ? format_age(since_us(ctl, slot, STAT_started_us)).s : "-");
    table_cell(table, "%s", format_count(snapshot_get(s, slot, STAT_accepts_for)).s);
    table_cell(table, "%s", format_count(snapshot_get(s, slot, STAT_restarts)).s);
    table_cell(table, "%.2f s", (double)snapshot_get(s, slot, STAT_cpu_us) / (double)US_PER_S);
    table_cell(table, "%s", format_bytes(snapshot_get(s, slot, STAT_resident_bytes)).s);
    table_cell(table, "%s", format_bytes(snapshot_get(s, slot, STAT_private_bytes)).s);
    table_cell(table, "%s", format_count(snapshot_get(s, slot, STAT_requests)).s);
    table_cell(table, "%s", format_count(snapshot_get(s, slot, STAT_in_flight)).s);
    table_cell(table, "%s", format_count(snapshot_get(s, slot, STAT_connections)).s);
    table_cell(table, "%s", lives ? format_age(since_us(ctl, slot, STAT_beat_us)).s : "-");
    char loop[WORDS_LOOP_BYTES];
    (void)words_loop(ctl->figures, slot, loop);
    table_cell(table, "%s", lives ? loop : "-");
}

/* Of the machine, or of the control group that is tighter. */
static void put_memory(cJSON *document, const struct ctl *ctl)
{
    static const enum metric metrics[] = {STAT_memory_used_bytes, STAT_memory_limit_bytes, STAT_memory_some_percent,
                                          STAT_memory_full_percent};
    cJSON *memory = cJSON_AddObjectToObject(document, "memory");
    cJSON_AddStringToObject(memory, "level", words_memory_level(snapshot_sum(ctl->figures, STAT_memory_level)));
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        document_metric(memory, stat_infos[metrics[i]].name, ctl->figures, DOCUMENT_ALL_SLOTS, metrics[i]);
}

static void print_memory(const struct snapshot *s)
{
    int64_t used = snapshot_sum(s, STAT_memory_used_bytes), limit = snapshot_sum(s, STAT_memory_limit_bytes);
    if (limit > 0)
        printf("memory: %s, %lld %% of %s in use\n\n", words_memory_level(snapshot_sum(s, STAT_memory_level)),
               (long long)(100.0 * (double)used / (double)limit), format_bytes(limit).s);
}

enum ctl_exit command_workers(const struct ctl *ctl)
{
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl);
        put_memory(document, ctl);
        cJSON *workers = cJSON_AddArrayToObject(document, "workers");
        for (int slot = 0; slot < ctl->figures->slots; slot++)
            put_worker(document_row(workers), ctl, slot);
        return document_print(ctl, &document);
    }
    struct table *table =
        table_create("SLOT|PID|GENERATION|<STATE|UPTIME|ACCEPTS FOR|RESTARTS|CPU|RESIDENT|PRIVATE|REQUESTS|IN FLIGHT|"
                     "CONNECTIONS|LAST BEAT|<LOOP");
    for (int slot = 0; slot < ctl->figures->slots; slot++)
        put_row(table, ctl, slot);
    print_memory(ctl->figures);
    table_print(&table);
    return CTL_OK;
}
