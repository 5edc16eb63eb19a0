#include "master/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cJSON *document_create(const struct ctl *ctl)
{
    char schema[64];
    cJSON *document = cJSON_CreateObject();
    snprintf(schema, sizeof schema, "perfctl.%s/1", ctl->command);
    cJSON_AddStringToObject(document, "schema", schema);
    if (ctl->figures == NULL)
        return document;
    cJSON_AddBoolToObject(document, "running", ctl->running);
    document_int(document, "master_pid", ctl->figures->master_pid);
    document_int(document, "since_us", ctl->figures->started_us);
    document_int(document, "at_us", ctl->now_us);
    document_int(document, "span_us", ctl->figures->span_us);
    return document;
}

cJSON *document_row(cJSON *list)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddItemToArray(list, row);
    return row;
}

void document_text(cJSON *object, const char *name, const char *text)
{
    cJSON_AddItemToObject(object, name, text != NULL ? cJSON_CreateString(text) : cJSON_CreateNull());
}

void document_int(cJSON *object, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    cJSON_AddRawToObject(object, name, text);
}

void document_metric(cJSON *object, const char *name, const struct snapshot *s, int slot, enum metric stat)
{
    if (snapshot_has(s, stat))
        document_int(object, name, slot == DOCUMENT_ALL_SLOTS ? snapshot_sum(s, stat) : snapshot_get(s, slot, stat));
}

void document_ratio(cJSON *object, const char *name, int64_t part, int64_t whole)
{
    char text[32];
    if (whole <= 0) {
        cJSON_AddNullToObject(object, name);
        return;
    }
    snprintf(text, sizeof text, "%.6f", (double)part / (double)whole);
    cJSON_AddRawToObject(object, name, text);
}

static void quantile(cJSON *object, const char *name, const struct histogram *h, double q)
{
    int64_t us = histogram_quantile_us(h, q);
    if (us < 0)
        cJSON_AddNullToObject(object, name);
    else
        document_int(object, name, us);
}

void document_histogram(cJSON *object, const struct histogram *h)
{
    document_int(object, "count", (int64_t)histogram_count(h));
    quantile(object, "p50_us", h, 0.50);
    quantile(object, "p95_us", h, 0.95);
    quantile(object, "p99_us", h, 0.99);
    quantile(object, "p999_us", h, 0.999);
    quantile(object, "max_us", h, 1);
}

/* ---- CSV (RFC 4180) ---- */

void document_csv_field(const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_value(const cJSON *value)
{
    if (cJSON_IsNull(value))
        return;
    char *text = cJSON_IsString(value) ? xstrdup(value->valuestring) : cJSON_PrintUnformatted(value);
    CHECK(text != NULL);
    document_csv_field(text);
    cJSON_free(text);
}

/* What is to be done with each value that is no object; name is that of the path to it. */
typedef void each_value(const char *name, const cJSON *value, bool first);

static bool walk(const cJSON *object, const char *prefix, bool first, each_value *each)
{
    for (const cJSON *member = object->child; member != NULL; member = member->next) {
        char *name = NULL;
        CHECK(asprintf(&name, "%s%s%s", prefix, *prefix ? "." : "", member->string ? member->string : "") >= 0);
        if (cJSON_IsObject(member)) {
            first = walk(member, name, first, each);
        } else {
            each(name, member, first);
            first = false;
        }
        free(name);
    }
    return first;
}

static void print_title(const char *name, const cJSON *value, bool first)
{
    (void)value;
    fputs(first ? "" : ",", stdout);
    document_csv_field(name);
}

static void print_cell(const char *name, const cJSON *value, bool first)
{
    (void)name;
    fputs(first ? "" : ",", stdout);
    print_value(value);
}

static void print_pair(const char *name, const cJSON *value, bool first)
{
    (void)first;
    document_csv_field(name);
    putchar(',');
    print_value(value);
    fputs("\r\n", stdout);
}

static const cJSON *first_list(const cJSON *document)
{
    for (const cJSON *member = document->child; member != NULL; member = member->next)
        if (cJSON_IsArray(member) && (member->child == NULL || cJSON_IsObject(member->child)))
            return member;
    return NULL;
}

static void print_csv(const cJSON *document)
{
    const cJSON *list = first_list(document);
    if (list == NULL) {
        fputs("name,value\r\n", stdout);
        walk(document, "", true, print_pair);
        return;
    }
    for (const cJSON *row = list->child; row != NULL; row = row->next) {
        if (row == list->child) {
            walk(row, "", true, print_title);
            fputs("\r\n", stdout);
        }
        walk(row, "", true, print_cell);
        fputs("\r\n", stdout);
    }
}

enum ctl_exit document_print(const struct ctl *ctl, cJSON **document)
{
    if (ctl->output == OUTPUT_CSV) {
        print_csv(*document);
    } else {
        char *text = cJSON_Print(*document);
        CHECK(text != NULL);
        puts(text);
        cJSON_free(text);
    }
    cJSON_Delete(*document);
    *document = NULL;
    return CTL_OK;
}
