/* perfctl check: whether rules hold, for monitoring and for a script behind a load test. */
#include "common/clock.h"
#include "master/ctl/check/checklist.h"
#include "master/ctl/check/rules.h"
#include "master/ctl/format.h"
#include "master/ctl/source.h"
#include "master/ctl/table.h"

#include <math.h>
#include <stdio.h>

/* perfd writes its gauges every 250 ms. */
#define LOOK_US (250 * US_PER_MS)
#define FOR_US (10 * US_PER_S)
enum { LOOKS_LEAST = 10 };

enum verdict { VERDICT_OK, VERDICT_UNKNOWN, VERDICT_WARNING, VERDICT_CRITICAL };
static const char *const verdict_names[] = {"ok", "no data", "warning", "critical"};

/* The figures at both ends of the time of the check. */
struct span {
    struct snapshot *first, *last, *between;
};

static void deinit(struct span *span)
{
    snapshot_destroy(&span->first);
    snapshot_destroy(&span->last);
    snapshot_destroy(&span->between);
}

static enum verdict verdict_of(const struct checked_rule *rule)
{
    if (!rule->measure.known)
        return VERDICT_UNKNOWN;
    if (rule_holds(&rule->rule, rule->measure.value))
        return VERDICT_OK;
    return rule->warn ? VERDICT_WARNING : VERDICT_CRITICAL;
}

static enum verdict worst_of(const struct rules *rules)
{
    enum verdict worst = VERDICT_OK;
    for (int i = 0; i < rules->count; i++)
        worst = MAX(worst, verdict_of(&rules->at[i]));
    return worst;
}

/* ---- printing ---- */

static struct text format_measure(const struct measure *m, enum rule_dimension dimension)
{
    struct text out = {"-"};
    if (!m->known)
        return out;
    switch (dimension) {
    case RULE_TIME:
        snprintf(out.s, sizeof out.s, "%s%.40s", m->uncertain ? "~" : "", format_us((int64_t)m->value).s);
        break;
    case RULE_SHARE:
        snprintf(out.s, sizeof out.s, "%.2f %%", 100 * m->value);
        break;
    case RULE_RATE:
        snprintf(out.s, sizeof out.s, "%.1f /s", m->value);
        break;
    case RULE_BYTE_COUNT:
        return format_bytes((int64_t)m->value);
    case RULE_COUNT:
    case RULE_ANY:
        return format_count((int64_t)m->value);
    }
    return out;
}

static void print_table(const struct rules *rules, const struct snapshot *s)
{
    struct table *table = table_create("<VERDICT|<RULE|MEASURED|<REMARK");
    for (int i = 0; i < rules->count; i++) {
        const struct checked_rule *rule = &rules->at[i];
        const struct measure *m = &rule->measure;
        table_cell(table, "%s", verdict_names[verdict_of(rule)]);
        table_cell(table, "%s", rule->rule.text);
        table_cell(table, "%s", format_measure(m, rule->dimension).s);
        table_cell(table, "%s%s%s", m->row >= 0 ? s->names[m->row] : "", m->row >= 0 && m->uncertain ? ", " : "",
                   m->uncertain ? "uncertain: fewer than ten samples lie beyond it" : "");
    }
    table_print(&table);
}

static void put_number(cJSON *object, const char *name, double value)
{
    char text[64];
    snprintf(text, sizeof text, value == floor(value) ? "%.0f" : "%.6f", value);
    cJSON_AddRawToObject(object, name, text);
}

static void put_rule(cJSON *list, const struct checked_rule *rule, const struct snapshot *s)
{
    static const char *const units[] = {[RULE_TIME] = "us",          [RULE_SHARE] = "share", [RULE_RATE] = "per_second",
                                        [RULE_BYTE_COUNT] = "bytes", [RULE_COUNT] = "count", [RULE_ANY] = ""};
    cJSON *object = document_row(list);
    const struct measure *m = &rule->measure;
    enum verdict verdict = verdict_of(rule);
    cJSON_AddStringToObject(object, "rule", rule->rule.text);
    cJSON_AddStringToObject(object, "severity", rule->warn ? "warning" : "critical");
    cJSON_AddStringToObject(object, "verdict", verdict_names[verdict]);
    if (m->known)
        put_number(object, "value", m->value);
    else
        cJSON_AddNullToObject(object, "value");
    put_number(object, "limit", rule->rule.limit);
    cJSON_AddStringToObject(object, "unit", units[rule->dimension]);
    document_int(object, "samples", m->samples);
    cJSON_AddBoolToObject(object, "uncertain", m->uncertain);
    document_text(object, "route", m->row >= 0 ? s->names[m->row] : NULL);
}

static enum ctl_exit print(const struct ctl *ctl, const struct rules *rules)
{
    enum verdict worst = worst_of(rules);
    if (ctl->output == OUTPUT_TABLE) {
        print_table(rules, ctl->figures);
    } else {
        cJSON *document = document_create(ctl);
        cJSON_AddStringToObject(document, "verdict", verdict_names[worst]);
        cJSON *list = cJSON_AddArrayToObject(document, "rules");
        for (int i = 0; i < rules->count; i++)
            put_rule(list, &rules->at[i], ctl->figures);
        (void)document_print(ctl, &document);
    }
    return worst == VERDICT_CRITICAL ? CTL_CRITICAL : worst == VERDICT_WARNING ? CTL_FAILED : CTL_OK;
}

/* ---- measuring ---- */

static enum ctl_exit not_running(const struct ctl *ctl, const char *what)
{
    (void)ctl_fail(ctl, what, ctl->dir);
    return CTL_NOT_RUNNING;
}

static bool resolve(struct rules *rules, const struct snapshot *s)
{
    bool ok = true;
    for (int i = 0; i < rules->count; i++) {
        struct checked_rule *rule = &rules->at[i];
        struct rule_error error;
        if (measure_resolve(&rule->rule, s, &rule->dimension, &error))
            continue;
        rules_complain(rule, &error);
        ok = false;
    }
    return ok;
}

/* False: it is another perfd's life. One that is started again has no figures of its own for a moment. */
static bool look(struct source *source, struct rules *rules, struct span *span)
{
    snapshot_destroy(&span->last);
    span->last = source_take(source);
    for (int i = 0; i < rules->count && source_is_running(source); i++)
        measure_look(&rules->at[i].rule, span->last, &rules->at[i].measure);
    return span->last->started_us == span->first->started_us;
}

static enum ctl_exit measure(const struct ctl *ctl, int64_t for_us, struct rules *rules, struct span *span)
{
    struct err err;
    int64_t step_us = MIN(for_us / LOOKS_LEAST, LOOK_US), begin_us = clock_mono_us();
    bool one_life = true;
    span->first = source_take(ctl->source);
    if (!resolve(rules, span->first))
        return CTL_USAGE;
    do {
        source_wait(step_us);
        one_life = look(ctl->source, rules, span);
    } while (one_life && clock_mono_us() - begin_us < for_us);
    if (one_life && !source_is_running(ctl->source))
        return not_running(ctl, "perfd has ended while it was being checked");
    span->between = snapshot_between(span->first, span->last, &err);
    if (span->between == NULL)
        return ctl_fail(ctl, err.text, "");
    for (int i = 0; i < rules->count; i++)
        measure_window(&rules->at[i].rule, span->first, span->last, span->between, &rules->at[i].measure);
    return CTL_OK;
}

static enum ctl_exit check(struct ctl *ctl, struct rules *rules, int64_t for_us)
{
    struct span span = {NULL, NULL, NULL};
    enum ctl_exit code = source_open(ctl->dir, &ctl->source);
    if (code != CTL_OK)
        return code;
    if (!source_is_running(ctl->source))
        code = CTL_NOT_RUNNING; /* as source_open() has said */
    else
        code = measure(ctl, for_us, rules, &span);
    if (code == CTL_OK) {
        ctl->running = true;
        ctl->figures = span.between;
        ctl->now_us = span.last->at_us;
        code = print(ctl, rules);
    }
    deinit(&span);
    source_close(&ctl->source);
    return code;
}

static enum ctl_exit checklist(struct ctl *ctl)
{
    struct facts facts;
    enum ctl_exit code = source_open(ctl->dir, &ctl->source);
    if (code != CTL_OK)
        return code;
    struct snapshot *s = source_take(ctl->source);
    ctl->running = source_is_running(ctl->source);
    ctl->view = source_view(ctl->source);
    ctl->figures = s;
    ctl->now_us = s->at_us;
    if (ctl->running) {
        facts_init(&facts, ctl);
        code = checklist_print(ctl, &facts);
        facts_deinit(&facts);
    } else {
        code = CTL_NOT_RUNNING; /* as source_open() has said */
    }
    snapshot_destroy(&s);
    source_close(&ctl->source);
    return code;
}

static bool has_rules(const struct ctl *ctl)
{
    static const enum ctl_option options[] = {OPTION_rule, OPTION_warn, OPTION_rules, OPTION_for};
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (ctl_value(ctl, options[i]) != NULL)
            return true;
    return false;
}

enum ctl_exit command_check(const struct ctl *given)
{
    struct ctl ctl = *given;
    if (ctl_value(&ctl, OPTION_checklist) != NULL && has_rules(&ctl))
        return ctl_wrong_usage("--checklist has rules of its own; without", "--rule, --warn, --rules and --for");
    if (ctl_value(&ctl, OPTION_checklist) != NULL)
        return source_know_dir(&ctl.dir) ? checklist(&ctl) : CTL_NOT_RUNNING;
    struct rules rules = {NULL, 0};
    int64_t for_us;
    enum ctl_exit code = CTL_USAGE;
    if (ctl_duration(&ctl, OPTION_for, FOR_US, &for_us) && rules_read(&ctl, &rules))
        code = source_know_dir(&ctl.dir) ? check(&ctl, &rules, for_us) : CTL_NOT_RUNNING;
    rules_deinit(&rules);
    return code;
}
