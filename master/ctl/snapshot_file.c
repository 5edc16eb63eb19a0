#include "master/ctl/snapshot_file.h"
#include "master/ctl/ctl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "perfctl.snapshot/1"
/* No perfd has more; a doctored file shall not take all memory. */
enum { FILE_BYTES_MAX = 1 << 28, SLOTS_MAX = 1024, METRICS_MAX = 1024, ROUTES_MAX = 4096, TEXT_BYTES = 256 };
#define INT_MOST 9.2e18 /* what a double has of int64_t */

static const char *const list_names[STATS_SCOPES] = {"metrics", "route_metrics", "histograms", "route_histograms"};

/* ---- writing ---- */

static cJSON *int_of(int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return cJSON_CreateRaw(text);
}

static cJSON *ints_of(const int64_t *values, int count, int step)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(list, int_of(values[i * step]));
    return list;
}

/* [[63, 12], [131, 1]]: 12 values of 63 us, and one of 130 or 131. */
static cJSON *buckets_of(const struct histogram *h)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h == NULL || h->buckets[i] == 0)
            continue;
        const int64_t pair[] = {histogram_upper_us(i), (int64_t)h->buckets[i]};
        cJSON_AddItemToArray(list, ints_of(pair, 2, 1));
    }
    return list;
}

static cJSON *put_metric(cJSON *list, const struct stat_info *info, bool histogram)
{
    cJSON *metric = document_row(list);
    cJSON_AddStringToObject(metric, "name", info->name);
    if (!histogram) {
        cJSON_AddStringToObject(metric, "kind", info->counter ? "counter" : "gauge");
        cJSON_AddStringToObject(metric, "aggregation", info->sum ? "sum" : "max");
    }
    cJSON_AddStringToObject(metric, "unit", info->unit);
    cJSON_AddStringToObject(metric, "help", info->help);
    return metric;
}

/* values: by slot, the keeper's first. */
static void put_slot_lists(cJSON *document, const struct snapshot *s)
{
    const int slots = s->slots - STATS_KEEPER, stats = s->lists[SCOPE_SLOT].count, hists = s->lists[SCOPE_HIST].count;
    cJSON *list = cJSON_AddArrayToObject(document, list_names[SCOPE_SLOT]);
    for (int i = 0; i < stats; i++) {
        cJSON *metric = put_metric(list, &s->lists[SCOPE_SLOT].infos[i], false);
        cJSON_AddItemToObject(metric, "values", ints_of(s->values + i, slots, stats));
    }
    list = cJSON_AddArrayToObject(document, list_names[SCOPE_HIST]);
    for (int i = 0; i < hists; i++) {
        cJSON *metric = put_metric(list, &s->lists[SCOPE_HIST].infos[i], true);
        cJSON *values = cJSON_AddArrayToObject(metric, "values");
        for (int slot = 0; slot < slots; slot++)
            cJSON_AddItemToArray(values, buckets_of(s->hists[slot * hists + i]));
    }
}

static void put_route_lists(cJSON *document, const struct snapshot *s)
{
    static const enum stats_scope scopes[] = {SCOPE_ROUTE, SCOPE_ROUTE_HIST};
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
        cJSON *list = cJSON_AddArrayToObject(document, list_names[scopes[i]]);
        for (int m = 0; m < s->lists[scopes[i]].count; m++)
            (void)put_metric(list, &s->lists[scopes[i]].infos[m], scopes[i] == SCOPE_ROUTE_HIST);
    }
}

/* In the order of route_metrics and route_histograms. */
static void put_routes(cJSON *document, const struct snapshot *s)
{
    const int stats = s->lists[SCOPE_ROUTE].count, hists = s->lists[SCOPE_ROUTE_HIST].count;
    cJSON *list = cJSON_AddArrayToObject(document, "routes");
    for (int row = 0; row < s->routes; row++) {
        cJSON *route = document_row(list);
        cJSON_AddStringToObject(route, "route", s->names[row]);
        cJSON_AddItemToObject(route, "values", ints_of(s->route_values + row * stats, stats, 1));
        cJSON *values = cJSON_AddArrayToObject(route, "histograms");
        for (int i = 0; i < hists; i++)
            cJSON_AddItemToArray(values, buckets_of(s->route_hists[row * hists + i]));
    }
}

bool snapshot_file_write(const struct snapshot *s, FILE *out)
{
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "schema", SCHEMA);
    cJSON_AddStringToObject(document, "version", s->version);
    document_int(document, "master_pid", s->master_pid);
    document_int(document, "started_us", s->started_us);
    document_int(document, "at_us", s->at_us);
    document_int(document, "span_us", s->span_us);
    document_int(document, "slots", s->slots);
    put_slot_lists(document, s);
    put_route_lists(document, s);
    put_routes(document, s);
    char *text = cJSON_Print(document);
    CHECK(text != NULL);
    bool ok = fprintf(out, "%s\n", text) >= 0 && fflush(out) == 0;
    cJSON_free(text);
    cJSON_Delete(document);
    return ok;
}

/* ---- reading: an error is what is wrong, and the way to it is put in front on the way up ---- */

static bool read_int(const cJSON *value, double least, double most, int64_t *out, struct err *err)
{
    if (!cJSON_IsNumber(value) || value->valuedouble != floor(value->valuedouble))
        return err_set(err, value == NULL ? ": is missing" : ": is no whole number");
    if (value->valuedouble < least || value->valuedouble > most)
        return err_set(err, ": %.17g is out of bounds", value->valuedouble);
    *out = (int64_t)value->valuedouble;
    return true;
}

static bool read_member(const cJSON *object, const char *name, double least, double most, int64_t *out, struct err *err)
{
    return read_int(cJSON_GetObjectItemCaseSensitive(object, name), least, most, out, err) ||
           err_prefix(err, "%s", name);
}

/* One that fits into so many bytes. */
static const char *read_text(const cJSON *object, const char *name, size_t bytes, struct err *err)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    if (text != NULL && strlen(text) < bytes)
        return text;
    err_set(err, text ? "%s: is too long" : "%s: is missing, or no text", name);
    return NULL;
}

/* The list called name, of `count` elements, or, where that is negative, of at most `most`. */
static const cJSON *read_list(const cJSON *object, const char *name, int count, int most, struct err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name);
    int found = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    if (found >= 0 && (count >= 0 ? found == count : found <= most))
        return list;
    if (found < 0)
        err_set(err, "%s: is missing, or no list", name);
    else if (count >= 0)
        err_set(err, "%s: has %d elements, not %d", name, found, count);
    else
        err_set(err, "%s: has %d elements, more than %d", name, found, most);
    return NULL;
}

static bool read_ints(const cJSON *object, const char *name, int count, int step, int64_t *to, struct err *err)
{
    const cJSON *list = read_list(object, name, count, 0, err);
    int i = 0;
    if (list == NULL)
        return false;
    for (const cJSON *value = list->child; value != NULL; value = value->next, i++)
        if (!read_int(value, -INT_MOST, INT_MOST, &to[i * step], err))
            return err_prefix(err, "%s[%d]", name, i);
    return true;
}

static bool read_bucket(const cJSON *pair, int after, int *bucket_out, int64_t *count_out, struct err *err)
{
    int64_t upper_us;
    if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2)
        return err_set(err, ": is not a pair of a value and a count");
    if (!read_int(pair->child, 0, INT_MOST, &upper_us, err) ||
        !read_int(pair->child->next, 1, INT_MOST, count_out, err))
        return false;
    *bucket_out = histogram_bucket(upper_us);
    return (*bucket_out > after && histogram_upper_us(*bucket_out) == upper_us) ||
           err_set(err, ": %lld is not the largest value of a bucket behind the one before it", (long long)upper_us);
}

static bool read_histogram(const cJSON *list, struct histogram **out, struct err *err)
{
    int i = 0, bucket = -1;
    if (!cJSON_IsArray(list))
        return err_set(err, ": is no list of buckets");
    if (list->child != NULL && *out == NULL)
        *out = xcalloc(1, sizeof **out);
    for (const cJSON *pair = list->child; pair != NULL; pair = pair->next, i++) {
        int64_t count = 0;
        if (!read_bucket(pair, bucket, &bucket, &count, err))
            return err_prefix(err, "[%d]", i);
        (*out)->buckets[bucket] = (uint64_t)count;
    }
    return true;
}

static bool read_histograms(const cJSON *object, const char *name, int count, int step, struct histogram **to,
                            struct err *err)
{
    const cJSON *list = read_list(object, name, count, 0, err);
    int i = 0;
    if (list == NULL)
        return false;
    for (const cJSON *value = list->child; value != NULL; value = value->next, i++)
        if (!read_histogram(value, &to[i * step], err))
            return err_prefix(err, "%s[%d]", name, i);
    return true;
}

static bool read_info(const cJSON *metric, bool histogram, struct stat_info *out, struct err *err)
{
    const char *kind = histogram ? "" : read_text(metric, "kind", TEXT_BYTES, err);
    const char *aggregation = histogram ? "" : kind ? read_text(metric, "aggregation", TEXT_BYTES, err) : NULL;
    if (aggregation == NULL || (out->name = read_text(metric, "name", TEXT_BYTES, err)) == NULL ||
        (out->unit = read_text(metric, "unit", TEXT_BYTES, err)) == NULL ||
        (out->help = read_text(metric, "help", TEXT_BYTES, err)) == NULL)
        return false;
    out->counter = histogram || strcmp(kind, "counter") == 0;
    out->sum = histogram || strcmp(aggregation, "sum") == 0;
    if (!histogram && !out->counter && strcmp(kind, "gauge") != 0)
        return err_set(err, "kind: is neither counter nor gauge");
    return histogram || out->sum || strcmp(aggregation, "max") == 0 ||
           err_set(err, "aggregation: is neither sum nor max");
}

static bool read_infos(const cJSON *document, enum stats_scope scope, struct stat_list *out, struct err *err)
{
    const cJSON *list = read_list(document, list_names[scope], -1, METRICS_MAX, err);
    if (list == NULL)
        return false;
    struct stat_info *infos = xcalloc((size_t)cJSON_GetArraySize(list), sizeof *infos);
    *out = (struct stat_list){infos, 0};
    for (const cJSON *metric = list->child; metric != NULL; metric = metric->next, out->count++)
        if (!read_info(metric, scope == SCOPE_HIST || scope == SCOPE_ROUTE_HIST, &infos[out->count], err))
            return err_prefix(err, "%s[%d].", list_names[scope], out->count);
    return true;
}

static bool read_slots(const cJSON *document, struct snapshot *s, struct err *err)
{
    const int slots = s->slots - STATS_KEEPER, stats = s->lists[SCOPE_SLOT].count, hists = s->lists[SCOPE_HIST].count;
    int i = 0;
    for (const cJSON *metric = cJSON_GetObjectItemCaseSensitive(document, "metrics")->child; i < stats; i++) {
        if (!read_ints(metric, "values", slots, stats, s->values + i, err))
            return err_prefix(err, "metrics[%d].", i);
        metric = metric->next;
    }
    i = 0;
    for (const cJSON *metric = cJSON_GetObjectItemCaseSensitive(document, "histograms")->child; i < hists; i++) {
        if (!read_histograms(metric, "values", slots, hists, s->hists + i, err))
            return err_prefix(err, "histograms[%d].", i);
        metric = metric->next;
    }
    return true;
}

static bool read_route(const cJSON *route, int row, struct snapshot *s, struct err *err)
{
    const int stats = s->lists[SCOPE_ROUTE].count, hists = s->lists[SCOPE_ROUTE_HIST].count;
    const char *name = read_text(route, "route", sizeof(route_name), err);
    if (name == NULL)
        return false;
    memcpy(s->names[row], name, strlen(name) + 1);
    return read_ints(route, "values", stats, 1, s->route_values + row * stats, err) &&
           read_histograms(route, "histograms", hists, 1, s->route_hists + row * hists, err);
}

static bool read_figures(const cJSON *document, struct snapshot *s, struct err *err)
{
    int row = 0;
    int64_t pid;
    const char *version = read_text(document, "version", sizeof s->version, err);
    if (version == NULL || !read_member(document, "master_pid", 0, INT32_MAX, &pid, err) ||
        !read_member(document, "started_us", 0, INT_MOST, &s->started_us, err) ||
        !read_member(document, "at_us", 0, INT_MOST, &s->at_us, err) ||
        !read_member(document, "span_us", 0, INT_MOST, &s->span_us, err) || !read_slots(document, s, err))
        return false;
    s->master_pid = (int)pid;
    memcpy(s->version, version, strlen(version) + 1);
    const cJSON *routes = cJSON_GetObjectItemCaseSensitive(document, "routes");
    for (const cJSON *route = routes->child; route != NULL; route = route->next, row++)
        if (!read_route(route, row, s, err))
            return err_prefix(err, "routes[%d].", row);
    return true;
}

static bool has_schema(const cJSON *document, struct err *err)
{
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "schema"));
    if (schema == NULL || strncmp(schema, SCHEMA, sizeof SCHEMA - 2) != 0)
        return err_set(err, "schema: is not that of a snapshot, as perfctl snapshot writes one");
    return strcmp(schema, SCHEMA) == 0 || err_set(err, "schema: another version's: %.64s", schema);
}

static struct snapshot *read_document(const cJSON *document, struct err *err)
{
    struct stat_list lists[STATS_SCOPES] = {{NULL, 0}};
    struct snapshot *s = NULL;
    int64_t slots;
    bool ok = has_schema(document, err) && read_member(document, "slots", 0, SLOTS_MAX, &slots, err);
    for (int scope = 0; scope < STATS_SCOPES && ok; scope++)
        ok = read_infos(document, (enum stats_scope)scope, &lists[scope], err);
    const cJSON *routes = ok ? read_list(document, "routes", -1, ROUTES_MAX, err) : NULL;
    if (routes != NULL) {
        s = snapshot_create((int)slots, cJSON_GetArraySize(routes), lists);
        if (!read_figures(document, s, err))
            snapshot_destroy(&s);
    }
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        free((void *)(uintptr_t)lists[scope].infos);
    return s;
}

struct snapshot *snapshot_file_parse(const char *text, size_t bytes, struct err *err)
{
    const char *end = NULL;
    cJSON *document = cJSON_ParseWithLengthOpts(text, bytes, &end, false);
    struct snapshot *s = NULL;
    if (document == NULL)
        err_set(err, "no JSON, or cut short: byte %zu", end ? (size_t)(end - text) : 0);
    else
        s = read_document(document, err);
    cJSON_Delete(document);
    return s;
}

/* NULL: err says why. */
static char *read_whole(const char *path, size_t *bytes_out, struct err *err)
{
    FILE *in = fopen(path, "re");
    char *text = NULL;
    size_t bytes = 0, room = 0;
    while (in != NULL && !feof(in) && !ferror(in) && bytes <= FILE_BYTES_MAX) {
        if (bytes == room)
            text = xrealloc(text, room = room ? 2 * room : 65536);
        bytes += fread(text + bytes, 1, room - bytes, in);
    }
    bool ok = in != NULL && !ferror(in);
    if (!ok || bytes > FILE_BYTES_MAX) {
        err_set(err, "%s", ok ? "is larger than any snapshot" : strerror(errno));
        free(text);
        text = NULL;
    }
    if (in != NULL)
        fclose(in);
    *bytes_out = bytes;
    return text;
}

struct snapshot *snapshot_file_read(const char *path, struct err *err)
{
    size_t bytes;
    char *text = read_whole(path, &bytes, err);
    struct snapshot *s = text != NULL ? snapshot_file_parse(text, bytes, err) : NULL;
    free(text);
    if (s == NULL)
        err_prefix(err, "%s: ", path);
    return s;
}
