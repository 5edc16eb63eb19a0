#include "master/ctl/load/report.h"
#include "common/clock.h"
#include "master/ctl/format.h"
#include "master/ctl/table.h"

#include <stdio.h>

static double seconds(int64_t us)
{
    return (double)us / (double)US_PER_S;
}

static double rate(int64_t count, int64_t span_us)
{
    return span_us > 0 ? (double)count / seconds(span_us) : 0;
}

static const struct tally *tally_of(const struct report *r, const struct threshold *t)
{
    const struct scenario *s = r->options->scenario;
    for (int i = 0; t->name.len > 0 && i < s->request_count; i++)
        if (slice_is(t->name, s->requests[i].name))
            return &r->result->requests[i];
    return &r->result->total;
}

static struct verdict verdict_of(const struct report *r, const struct threshold *t)
{
    return threshold_check(t, tally_of(r, t), seconds(r->result->span_us));
}

/* ---- for people ---- */

static void print_head(const struct report *r)
{
    const struct load_result *result = r->result;
    const struct tally *total = &result->total;
    printf("%s on %s: %.1f s, seed %llu\n", r->file, r->options->scenario->url.text, seconds(result->span_us),
           (unsigned long long)r->options->seed);
    printf("%s requests, %.1f/s; %s failed, %s answered as expected (%s); %s received\n",
           format_count(total->requests).s, rate(total->requests, result->span_us), format_count(total->failed).s,
           format_count(total->passed).s, format_percent(total->passed, total->requests).s,
           format_bytes(total->bytes).s);
    printf("at most %s at a time; %s connections opened, %s of them for one that had ended\n",
           format_count(result->connections).s, format_count(result->opened).s, format_count(result->again).s);
    printf("generator: %s of a CPU, its latest timer %s late\n",
           format_percent(result->meter.cpu_us, result->meter.span_us).s, format_us(result->meter.worst_us).s);
    for (int i = OUTCOME_answered + 1; i < OUTCOME_COUNT; i++)
        if (total->outcomes[i] > 0)
            printf("%s: %s: %s\n", format_count(total->outcomes[i]).s, outcome_names[i], outcome_helps[i]);
}

static struct text mean_of(const struct tally *t)
{
    struct text none = {"-"};
    return t->requests > 0 ? format_us((int64_t)tally_mean_us(t)) : none;
}

/* With format_quantile()'s mark of few samples, but never above the maximum. */
static struct text quantile_of(const struct tally *t, double q)
{
    struct text text = format_quantile(&t->latency, q), exact = format_us(tally_quantile_us(t, q));
    if (t->requests > 0)
        snprintf(text.s, sizeof text.s, "%s%.40s", *text.s == '~' ? "~" : "", exact.s);
    return text;
}

static void put_row(struct table *table, const char *name, const struct tally *t, int64_t span_us)
{
    static const double quantiles[] = {0.50, 0.95, 0.99};
    struct text none = {"-"};
    table_cell(table, "%s", name);
    table_cell(table, "%s", format_count(t->requests).s);
    table_cell(table, "%.1f", rate(t->requests, span_us));
    table_cell(table, "%s", format_count(t->failed).s);
    table_cell(table, "%s", format_count(t->requests - t->passed).s);
    table_cell(table, "%s", mean_of(t).s);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        table_cell(table, "%s", quantile_of(t, quantiles[i]).s);
    table_cell(table, "%s", (t->requests > 0 ? format_us(t->max_us) : none).s);
}

static void print_requests(const struct report *r)
{
    const struct scenario *s = r->options->scenario;
    struct table *table = table_create("<REQUEST|REQUESTS|RATE/S|FAILED|UNEXPECTED|MEAN|P50|P95|P99|MAX");
    for (int i = 0; i < s->request_count; i++)
        put_row(table, s->requests[i].name, &r->result->requests[i], r->result->span_us);
    put_row(table, "total", &r->result->total, r->result->span_us);
    putchar('\n');
    table_print(&table);
}

static void print_thresholds(const struct report *r)
{
    const struct scenario *s = r->options->scenario;
    if (s->threshold_count == 0)
        return;
    struct table *table = table_create("<VERDICT|<THRESHOLD|MEASURED");
    for (int i = 0; i < s->threshold_count; i++) {
        const struct threshold *t = &s->thresholds[i];
        struct verdict verdict = verdict_of(r, t);
        table_cell(table, "%s", verdict.holds ? "ok" : "CROSSED");
        table_cell(table, "%s %s", t->metric_text, t->text);
        table_cell(table, verdict.measured ? "%.6g" : "-", verdict.value);
    }
    putchar('\n');
    table_print(&table);
}

/* ---- for programs ---- */

static void put_double(cJSON *object, const char *name, double value)
{
    char text[64];
    snprintf(text, sizeof text, "%.6f", value);
    cJSON_AddRawToObject(object, name, text);
}

static void put_latency(cJSON *object, const char *name, const struct tally *t, int64_t us)
{
    if (t->requests > 0)
        document_int(object, name, us);
    else
        cJSON_AddNullToObject(object, name);
}

static void put_tally(cJSON *object, const struct tally *t, int64_t span_us)
{
    document_int(object, "requests", t->requests);
    put_double(object, "rate", rate(t->requests, span_us));
    document_int(object, "failed", t->failed);
    document_ratio(object, "failed_ratio", t->failed, t->requests);
    document_int(object, "expected", t->passed);
    document_ratio(object, "expected_ratio", t->passed, t->requests);
    document_int(object, "bytes", t->bytes);
    put_latency(object, "mean_us", t, (int64_t)tally_mean_us(t));
    put_latency(object, "min_us", t, t->min_us);
    put_latency(object, "p50_us", t, tally_quantile_us(t, 0.50));
    put_latency(object, "p95_us", t, tally_quantile_us(t, 0.95));
    put_latency(object, "p99_us", t, tally_quantile_us(t, 0.99));
    put_latency(object, "p999_us", t, tally_quantile_us(t, 0.999));
    put_latency(object, "max_us", t, t->max_us);
    for (int i = OUTCOME_answered + 1; i < OUTCOME_COUNT; i++)
        document_int(object, outcome_names[i], t->outcomes[i]);
}

static void put_threshold(cJSON *list, const struct report *r, const struct threshold *t)
{
    struct verdict verdict = verdict_of(r, t);
    cJSON *object = document_row(list);
    cJSON_AddStringToObject(object, "metric", t->metric_text);
    cJSON_AddStringToObject(object, "threshold", t->text);
    cJSON_AddBoolToObject(object, "ok", verdict.holds);
    if (verdict.measured)
        put_double(object, "measured", verdict.value);
    else
        cJSON_AddNullToObject(object, "measured");
}

static void put_generator(cJSON *object, const struct meter *m)
{
    cJSON_AddBoolToObject(object, "saturated", meter_is_saturated(m));
    document_int(object, "saturated_seconds", m->saturated);
    document_int(object, "seconds", m->seconds);
    document_int(object, "cpu_us", m->cpu_us);
    document_int(object, "latest_timer_us", m->worst_us);
}

static void print_document(const struct ctl *ctl, const struct report *r)
{
    const struct scenario *s = r->options->scenario;
    const struct load_result *result = r->result;
    cJSON *document = document_create(ctl);
    cJSON_AddStringToObject(document, "scenario", r->file);
    cJSON_AddStringToObject(document, "url", s->url.text);
    document_int(document, "seed", (int64_t)r->options->seed);
    cJSON_AddBoolToObject(document, "interrupted", result->interrupted);
    document_int(document, "span_us", result->span_us);
    document_int(document, "connections", result->connections);
    document_int(document, "opened", result->opened);
    document_int(document, "opened_again", result->again);
    document_int(document, "waited", result->waited);
    document_int(document, "under_way", result->under_way);
    cJSON *requests = cJSON_AddArrayToObject(document, "requests");
    for (int i = 0; i < s->request_count; i++) {
        cJSON *row = document_row(requests);
        cJSON_AddStringToObject(row, "request", s->requests[i].name);
        put_tally(row, &result->requests[i], result->span_us);
    }
    put_tally(cJSON_AddObjectToObject(document, "total"), &result->total, result->span_us);
    cJSON *thresholds = cJSON_AddArrayToObject(document, "thresholds");
    for (int i = 0; i < s->threshold_count; i++)
        put_threshold(thresholds, r, &s->thresholds[i]);
    put_generator(cJSON_AddObjectToObject(document, "generator"), &result->meter);
    (void)document_print(ctl, &document);
}

/* ---- both ---- */

static void print_warnings(const struct report *r, FILE *out)
{
    const struct load_result *result = r->result;
    if (result->interrupted)
        fprintf(out, "interrupted: %s requests were under way and are not counted\n",
                format_count(result->under_way).s);
    if (result->waited > 0)
        fprintf(out, "%s requests waited for one of the %s connections (--connections), which is in their latency\n",
                format_count(result->waited).s, format_count(result->connections).s);
    if (meter_is_saturated(&result->meter))
        fprintf(out, "the generator was the limit in %d of %d seconds: the figures are not the server's\n",
                result->meter.saturated, result->meter.seconds);
}

enum ctl_exit report_print(const struct ctl *ctl, const struct report *r)
{
    const struct scenario *s = r->options->scenario;
    enum ctl_exit code = r->result->interrupted ? CTL_FAILED : CTL_OK;
    for (int i = 0; i < s->threshold_count; i++)
        if (!verdict_of(r, &s->thresholds[i]).holds)
            code = CTL_THRESHOLD;
    if (ctl->output == OUTPUT_TABLE) {
        print_head(r);
        print_warnings(r, stdout);
        print_requests(r);
        print_thresholds(r);
    } else {
        print_warnings(r, stderr);
        print_document(ctl, r);
    }
    return code;
}

void report_progress(void *terminal, const struct load *load, int64_t now_us)
{
    struct load_pace pace = load_pace(load, now_us);
    const bool *over = terminal;
    fprintf(stderr, "%s%.0f of %.0f s: %d %s, %d under way, %s requests, %.1f/s, %s failed, p95 %s%s",
            *over ? "\r\033[K" : "", seconds(pace.at_us), seconds(pace.length_us), pace.senders,
            pace.kind == PLAN_USERS ? "users" : "connections", pace.under_way, format_count(pace.requests).s,
            rate(pace.since->requests, pace.since_us), format_count(pace.since->failed).s,
            format_quantile(&pace.since->latency, 0.95).s, *over ? "" : "\n");
    fflush(stderr);
}
