#include "sql/explain.h"
#include "common/clock.h"
#include "common/conf.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/route_query.h"
#include "shm/slow.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARAMS_MAX = 64 };
#define TIMEOUT_US (10 * US_PER_S)

/* What is to be explained: a route's query, with or without the parameters that it once had. */
struct wanted {
    const struct conf_route *route;
    struct query *query;
    const char *values[PARAMS_MAX];
    int value_count;
    bool has_values;
};

static enum ctl_exit fail(const char *what, const char *which)
{
    fprintf(stderr, "perfctl: %s%s%s\n", what, *which ? ": " : "", which);
    return CTL_FAILED;
}

static const struct conf_route *route_of(const struct conf *conf, const char *method, const char *path)
{
    char name[SLOW_ROUTE_BYTES + 16];
    snprintf(name, sizeof name, "%s%s%s", method, path ? " " : "", path ? path : "");
    for (int i = 0; i < conf->route_count; i++)
        if (strcmp(conf->routes[i].name, name) == 0)
            return &conf->routes[i];
    return NULL;
}

/* The route whose query it was; its name alone may mean another query since a reload. */
static const struct conf_route *route_that_ran(const struct conf *conf, const struct slow_query *slow)
{
    for (int i = 0; i < conf->route_count; i++)
        if (conf->routes[i].from == FROM_SQL &&
            query_fingerprint(slice_str(conf->routes[i].sql_text)) == slow->fingerprint)
            return &conf->routes[i];
    return NULL;
}

static enum ctl_exit find_slow(const struct ctl *ctl, const struct conf *conf, struct arena *arena, struct wanted *out)
{
    struct slow_query *queries = arena_alloc(arena, SLOW_ENTRIES * sizeof *queries);
    const struct ring *ring = ctl_ring(ctl, SECTION_slow);
    if (ring == NULL)
        return CTL_FAILED;
    int count = slow_read(ring, queries);
    for (int i = 0; i < count; i++) {
        if (queries[i].number != strtoull(ctl->args[0], NULL, 10))
            continue;
        out->route = route_that_ran(conf, &queries[i]);
        out->has_values = queries[i].has_params;
        out->value_count = slow_params(&queries[i], out->values, PARAMS_MAX);
        return out->route ? CTL_OK : fail("the query of that number stands in the configuration no more", conf->file);
    }
    return fail("perfctl slow has no query of the number", ctl->args[0]);
}

static enum ctl_exit find(const struct ctl *ctl, const struct conf *conf, struct arena *arena, struct wanted *out)
{
    if (ctl->arg_count == 1 && strspn(ctl->args[0], "0123456789") == strlen(ctl->args[0]))
        return find_slow(ctl, conf, arena, out);
    out->route = route_of(conf, ctl->args[0], ctl->arg_count > 1 ? ctl->args[1] : NULL);
    return out->route
               ? CTL_OK
               : fail("the configuration has no such route, as in GET /users/{id}", ctl->args[ctl->arg_count - 1]);
}

static int count_params(const struct query *query)
{
    int count = 0;
    for (int i = 0; i < query->statement_count; i++)
        count += query->statements[i].param_count;
    return count;
}

static enum ctl_exit parse(struct wanted *wanted, struct arena *arena)
{
    struct err err;
    wanted->query = route_query(wanted->route, arena, &err);
    if (wanted->query == NULL)
        return fail(wanted->route->name, err.text);
    if (wanted->route->combine_keys > 0)
        wanted->has_values = false; /* its parameter was a list of keys */
    if (wanted->has_values && wanted->value_count != count_params(wanted->query))
        wanted->has_values = false;
    wanted->has_values |= count_params(wanted->query) == 0;
    return CTL_OK;
}

/* Plans have values of consumers in them. */
static void print(const struct ctl *ctl, const struct wanted *wanted, struct buf *plan)
{
    const char *kind = wanted->has_values ? "custom" : "generic";
    if (ctl->output == OUTPUT_TABLE) {
        format_printable(plan->at, "\n");
        printf("%s, %s plan\n\n" SLICE_FMT, wanted->route->name, kind, SLICE_ARG(buf_slice(plan)));
        return;
    }
    cJSON *document = document_create(ctl);
    cJSON_AddStringToObject(document, "route", wanted->route->name);
    cJSON_AddStringToObject(document, "plan", kind);
    cJSON_AddRawToObject(document, "statements", plan->at);
    (void)document_print(ctl, &document);
}

static enum ctl_exit ask(const struct ctl *ctl, const struct conf *conf, const struct wanted *wanted)
{
    struct err err;
    struct buf plan = {0};
    const struct explain explain = {.url = ctl_value(ctl, OPTION_url) ? ctl_value(ctl, OPTION_url) : conf->database.url,
                                    .timeout_us = TIMEOUT_US,
                                    .values = wanted->has_values ? wanted->values : NULL,
                                    .analyze = ctl_value(ctl, OPTION_analyze) != NULL,
                                    .json = ctl->output != OUTPUT_TABLE};
    buf_adds(&plan, ctl->output != OUTPUT_TABLE ? "[" : "");
    bool ok = explain_query(&explain, wanted->query, &plan, &err);
    buf_adds(&plan, ctl->output != OUTPUT_TABLE ? "]" : "");
    buf_addc(&plan, '\0');
    plan.len--;
    if (ok)
        print(ctl, wanted, &plan);
    buf_deinit(&plan);
    return ok ? CTL_OK : fail(wanted->route->name, err.text);
}

static enum ctl_exit explain(const struct ctl *ctl, const struct conf *conf, struct arena *arena)
{
    struct wanted wanted = {0};
    enum ctl_exit code = find(ctl, conf, arena, &wanted);
    if (code == CTL_OK)
        code = parse(&wanted, arena);
    if (code == CTL_OK && ctl_value(ctl, OPTION_analyze) != NULL && !wanted.has_values)
        return fail("--analyze runs the query, and its parameters were not kept (slow_query_params)",
                    wanted.route->name);
    return code == CTL_OK ? ask(ctl, conf, &wanted) : code;
}

enum ctl_exit command_explain(const struct ctl *ctl)
{
    struct conf *conf = ctl_conf(ctl, ctl->view);
    if (conf == NULL)
        return CTL_FAILED;
    struct arena *arena = arena_create();
    enum ctl_exit code = explain(ctl, conf, arena);
    arena_destroy(&arena);
    conf_destroy(&conf);
    return code;
}
