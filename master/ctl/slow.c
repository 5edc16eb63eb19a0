#include "shm/slow.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "master/ctl/words.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARAMS_MAX = 64, SHOWN_BYTES = 60 };

/* Cut, between two characters. */
static void put_params(struct table *table, const struct slow_query *q)
{
    struct buf text = {0};
    words_params(&text, q);
    size_t shown = MIN(text.len, (size_t)SHOWN_BYTES);
    while (shown > 0 && shown < text.len && (text.at[shown] & 0xc0) == 0x80)
        shown--;
    table_cell(table, "%.*s%s", (int)shown, text.len > 0 ? text.at : "", shown < text.len ? "..." : "");
    buf_deinit(&text);
}

static void put_row(struct table *table, const struct ctl *ctl, const struct slow_query *q)
{
    table_cell(table, "%llu", (unsigned long long)q->number);
    table_cell(table, "%s", format_age(ctl->now_us - q->at_us).s);
    table_cell(table, "%d", q->slot);
    table_cell(table, "%s", q->route);
    table_cell(table, "%s", format_us(q->run_us).s);
    table_cell(table, "%s", format_us(q->wait_us).s);
    table_cell(table, "%s", format_count(q->rows).s);
    table_cell(table, "%s", q->state[0] ? q->state : "-");
    table_cell(table, "%016llx", (unsigned long long)q->fingerprint);
    put_params(table, q);
}

/* Params are null where they were not kept. */
static void put_document_params(cJSON *object, const struct slow_query *q)
{
    const char *values[PARAMS_MAX];
    if (!q->has_params) {
        cJSON_AddNullToObject(object, "params");
        return;
    }
    cJSON *list = cJSON_AddArrayToObject(object, "params");
    int count = slow_params(q, values, PARAMS_MAX);
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(list, values[i] ? cJSON_CreateString(values[i]) : cJSON_CreateNull());
}

static void put_query(cJSON *list, const struct slow_query *q)
{
    char hex[24];
    cJSON *object = document_row(list);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)q->fingerprint);
    document_int(object, "number", (int64_t)q->number);
    document_int(object, "at_us", q->at_us);
    document_int(object, "slot", q->slot);
    document_int(object, "pid", q->pid);
    cJSON_AddStringToObject(object, "route", q->route);
    document_int(object, "run_us", q->run_us);
    document_int(object, "wait_us", q->wait_us);
    document_int(object, "rows", q->rows);
    document_text(object, "state", q->state[0] ? q->state : NULL);
    cJSON_AddStringToObject(object, "fingerprint", hex);
    put_document_params(object, q);
}

enum ctl_exit command_slow(const struct ctl *ctl)
{
    const struct ring *ring = ctl_ring(ctl, SECTION_slow);
    if (ring == NULL)
        return CTL_FAILED;
    struct slow_query *queries = xcalloc(SLOW_ENTRIES, sizeof *queries);
    int count = slow_read(ring, queries);
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "queries");
        for (int i = 0; i < count; i++)
            put_query(list, &queries[i]);
        (void)document_print(ctl, &document);
    } else {
        struct table *table = table_create("NUMBER|AGO|SLOT|<ROUTE|TIME|WAIT|ROWS|<STATE|<QUERY|<PARAMETERS");
        for (int i = 0; i < count; i++)
            put_row(table, ctl, &queries[i]);
        table_print(&table);
    }
    free(queries);
    return CTL_OK;
}
