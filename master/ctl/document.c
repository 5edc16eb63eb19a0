#include "master/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>

cJSON *document_create(const struct ctl *ctl)
{
    char schema[64];
    cJSON *document = cJSON_CreateObject();
    snprintf(schema, sizeof schema, "perfctl.%s/1", ctl->command);
    cJSON_AddStringToObject(document, "schema", schema);
    cJSON_AddBoolToObject(document, "running", ctl->running);
    document_int(document, "master_pid", stats_master_pid(ctl->stats));
    document_int(document, "since_us", stats_started_us(ctl->stats));
    document_int(document, "at_us", ctl->now_us);
    return document;
}

enum ctl_exit document_print(cJSON **document)
{
    char *text = cJSON_Print(*document);
    CHECK(text != NULL);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(*document);
    *document = NULL;
    return CTL_OK;
}

void document_int(cJSON *object, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    cJSON_AddRawToObject(object, name, text);
}

void document_ratio(cJSON *object, const char *name, int64_t part, int64_t whole)
{
    char text[32];
    snprintf(text, sizeof text, "%.6f", whole > 0 ? (double)part / (double)whole : 0);
    cJSON_AddRawToObject(object, name, whole > 0 ? text : "null");
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
