#include "shm/events.h"
#include "common/clock.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"
#include "master/ctl/words.h"

#include <stdio.h>
#include <stdlib.h>

static void put_row(struct table *table, const struct ctl *ctl, const struct event *e)
{
    table_cell(table, "%s", format_time(e->at_us).s);
    table_cell(table, "%s", format_age(MAX(ctl->now_us - e->at_us, INT64_C(0))).s);
    table_cell(table, "%s", words_event(e));
    table_cell(table, "%s", words_event_slot(e).s);
    table_cell(table, e->pid != 0 ? "%d" : "-", (int)e->pid);
    table_cell(table, "%s", e->text);
}

static void put_event(cJSON *list, const struct event *e)
{
    cJSON *object = document_row(list);
    document_int(object, "number", (int64_t)e->number);
    document_int(object, "at_us", e->at_us);
    cJSON_AddStringToObject(object, "kind", words_event(e));
    if (e->slot == EVENT_NO_SLOT)
        cJSON_AddNullToObject(object, "slot");
    else
        document_int(object, "slot", e->slot);
    if (e->pid == 0)
        cJSON_AddNullToObject(object, "pid");
    else
        document_int(object, "pid", e->pid);
    cJSON_AddStringToObject(object, "text", e->text);
}

/* The latest last, as in a log. */
enum ctl_exit command_events(const struct ctl *ctl)
{
    const struct ring *ring = ctl_ring(ctl, SECTION_events);
    if (ring == NULL)
        return CTL_FAILED;
    struct event *events = xcalloc(EVENTS, sizeof *events);
    int count = events_read(ring, events);
    if (ctl->output != OUTPUT_TABLE) {
        cJSON *document = document_create(ctl), *list = cJSON_AddArrayToObject(document, "events");
        for (int i = count - 1; i >= 0; i--)
            put_event(list, &events[i]);
        (void)document_print(ctl, &document);
    } else {
        struct table *table = table_create("<TIME|AGO|<EVENT|SLOT|PID|<WHAT");
        for (int i = count - 1; i >= 0; i--)
            put_row(table, ctl, &events[i]);
        table_print(&table);
    }
    free(events);
    return CTL_OK;
}
