#include "common/clock.h"
#include "master/ctl/capacity/curve.h"
#include "master/ctl/capacity/steps.h"
#include "master/ctl/ctl.h"
#include "master/ctl/format.h"
#include "master/ctl/source.h"
#include "master/ctl/table.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define STEP_US (10 * US_PER_S)

/* What the command tells. */
struct capacity {
    struct steps_found found; /* of points in a file nothing but these */
    struct usl usl;
    double present_x; /* requests per second that perfd has now; below 0: not known */
};

static double largest_n(const struct capacity *c)
{
    return c->found.points.at[c->found.points.count - 1].n;
}

/* Else the curve is only guessed where it matters. */
static bool reaches_bend(const struct capacity *c)
{
    return largest_n(c) >= usl_knee(&c->usl);
}

static bool is_extrapolated(const struct capacity *c)
{
    return largest_n(c) < usl_peak(&c->usl);
}

/* ---- the present load ---- */

static void sleep_one_second(void)
{
    struct timespec left = {1, 0};
    while (nanosleep(&left, &left) != 0) {
    }
}

/* Of the next second. Below 0: no perfd runs there. */
static double measure_present(const char *dir)
{
    struct err err;
    struct source *source;
    double x = -1;
    if (source_open(dir, &source) != CTL_OK)
        return x;
    struct snapshot *earlier = source_take(source);
    sleep_one_second();
    struct snapshot *now = source_take(source), *window = snapshot_between(earlier, now, &err);
    if (window != NULL && window->span_us > 0 && source_is_running(source))
        x = (double)snapshot_sum(window, STAT_requests) * (double)US_PER_S / (double)window->span_us;
    snapshot_destroy(&window);
    snapshot_destroy(&now);
    snapshot_destroy(&earlier);
    source_close(&source);
    return x;
}

/* ---- as JSON ---- */

/* JSON has no infinity, which is null. */
static void put_number(cJSON *object, const char *name, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static void put_points(cJSON *document, const struct capacity *c)
{
    cJSON *list = cJSON_AddArrayToObject(document, "points");
    for (int i = 0; i < c->found.points.count; i++) {
        const struct usl_point *point = &c->found.points.at[i];
        cJSON *object = document_row(list);
        put_number(object, "n", point->n);
        put_number(object, "x", point->x);
        put_number(object, "law_x", usl_throughput(&c->usl, point->n));
        put_number(object, "response_s", point->n / point->x);
        put_number(object, "efficiency", point->x / (c->usl.lambda * point->n));
    }
}

static void print_document(const struct ctl *ctl, const struct capacity *c)
{
    cJSON *document = document_create(ctl);
    double knee = usl_knee(&c->usl), maximum = usl_maximum(&c->usl);
    put_number(document, "lambda", c->usl.lambda);
    put_number(document, "sigma", c->usl.sigma);
    put_number(document, "kappa", c->usl.kappa);
    put_number(document, "r_squared", usl_r_squared(&c->usl, c->found.points.at, c->found.points.count));
    put_number(document, "knee_n", knee);
    put_number(document, "knee_x", isfinite(knee) ? usl_throughput(&c->usl, knee) : knee);
    put_number(document, "maximum_n", usl_peak(&c->usl));
    put_number(document, "maximum_x", maximum);
    cJSON_AddBoolToObject(document, "reaches_bend", reaches_bend(c));
    cJSON_AddBoolToObject(document, "extrapolated", is_extrapolated(c));
    document_int(document, "requests", c->found.requests);
    document_int(document, "failed", c->found.failed);
    cJSON_AddBoolToObject(document, "generator_saturated", c->found.saturated > 0);
    cJSON_AddBoolToObject(document, "interrupted", c->found.interrupted);
    put_number(document, "present_x", c->present_x < 0 ? NAN : c->present_x);
    put_number(document, "headroom", c->present_x < 0 || isinf(maximum) ? NAN : 1 - c->present_x / maximum);
    put_points(document, c);
    (void)document_print(ctl, &document);
}

/* ---- for people ---- */

static struct text rate(double x)
{
    struct text out;
    if (x < 100)
        snprintf(out.s, sizeof out.s, "%.3g/s", x);
    else
        snprintf(out.s, sizeof out.s, "%.40s/s", format_count((int64_t)round(x)).s);
    return out;
}

static void print_coefficients(const struct capacity *c)
{
    printf("sigma     %-12.6g contention: the share that is done one at a time\n", c->usl.sigma);
    printf("kappa     %-12.6g coherency: what each pair costs to agree\n", c->usl.kappa);
    printf("lambda    %-12s of one alone\n", rate(c->usl.lambda).s);
    printf("fit       R2 = %.4f of %d points, N from %g to %g\n\n",
           usl_r_squared(&c->usl, c->found.points.at, c->found.points.count), c->found.points.count,
           c->found.points.at[0].n, largest_n(c));
}

static void print_maximum(const struct capacity *c)
{
    double knee = usl_knee(&c->usl), peak = usl_peak(&c->usl), maximum = usl_maximum(&c->usl);
    if (isinf(knee)) {
        puts("knee      none: it scales linearly as far as was measured, so that nothing is known of its maximum");
        return;
    }
    printf("knee      N = %-8.0f %-12s beyond it more requests at a time mostly wait\n", knee,
           rate(usl_throughput(&c->usl, knee)).s);
    if (isinf(peak))
        printf("maximum   %-12s %-12s comes near, with ever more at a time; extrapolated\n", "", rate(maximum).s);
    else
        printf("maximum   N = %-8.0f %-12s %s\n", peak, rate(maximum).s,
               is_extrapolated(c) ? "extrapolated beyond what was measured" : "measured on both sides");
    if (!reaches_bend(c))
        printf("warning   the points end at N = %g, before the knee: what comes behind it is a guess\n", largest_n(c));
}

static void print_headroom(const struct capacity *c)
{
    double maximum = usl_maximum(&c->usl);
    if (c->present_x < 0)
        return;
    if (isinf(maximum))
        printf("present   %s\n", rate(c->present_x).s);
    else
        printf("headroom  %.1f %%, present load %s%s\n", 100 * (1 - c->present_x / maximum), rate(c->present_x).s,
               is_extrapolated(c) ? "; of an extrapolated maximum" : "");
}

static void print_warnings(const struct capacity *c)
{
    if (c->found.failed > 0)
        printf("warning   %s of %s requests failed; X has only those that did not\n", format_count(c->found.failed).s,
               format_count(c->found.requests).s);
    if (c->found.saturated > 0)
        printf("warning   in %d steps the generator was the limit: their X is not the server's\n", c->found.saturated);
    if (c->found.interrupted)
        puts("warning   it was interrupted before all steps were done");
}

static void print_table(const struct capacity *c)
{
    struct table *table = table_create("N|X|LAW|OFF BY|RESPONSE|EFFICIENCY");
    for (int i = 0; i < c->found.points.count; i++) {
        const struct usl_point *point = &c->found.points.at[i];
        double law = usl_throughput(&c->usl, point->n);
        table_cell(table, "%g", point->n);
        table_cell(table, "%s", rate(point->x).s);
        table_cell(table, "%s", rate(law).s);
        table_cell(table, "%+.1f %%", 100 * (point->x / law - 1));
        table_cell(table, "%s", format_us((int64_t)((double)US_PER_S * point->n / point->x)).s);
        table_cell(table, "%.1f %%", 100 * point->x / (c->usl.lambda * point->n));
    }
    table_print(&table);
}

static enum ctl_exit print(const struct ctl *ctl, const struct capacity *c)
{
    enum ctl_exit code = c->found.interrupted ? CTL_FAILED : CTL_OK;
    if (ctl->output != OUTPUT_TABLE) {
        print_document(ctl, c);
        return code;
    }
    print_table(c);
    putchar('\n');
    curve_print(&c->usl, &c->found.points);
    putchar('\n');
    print_coefficients(c);
    print_maximum(c);
    print_headroom(c);
    print_warnings(c);
    return code;
}

/* ---- the load ---- */

static enum ctl_exit read_options(const struct ctl *ctl, struct steps *steps, struct scenario_choice *choice)
{
    struct err err;
    int64_t seed, scale;
    const char *list = ctl_value(ctl, OPTION_steps);
    if (!ctl_duration(ctl, OPTION_duration, STEP_US, &steps->step_us) ||
        !ctl_whole(ctl, OPTION_seed, 0, SCENARIO_SEED_MAX, 1, &seed) ||
        !ctl_whole(ctl, OPTION_scale, 1, SCENARIO_SCALE_MAX, 1, &scale))
        return CTL_USAGE;
    steps->seed = (uint64_t)seed;
    *choice = (struct scenario_choice){ctl_value(ctl, OPTION_url), 1, scale};
    steps_usual(steps);
    return list == NULL || steps_parse(list, steps, &err) ? CTL_OK : ctl_wrong_usage("--steps", err.text);
}

static enum ctl_exit measure(const struct ctl *ctl, struct steps_found *found)
{
    struct err err;
    struct steps steps;
    struct scenario_choice choice;
    struct scenario scenario;
    enum ctl_exit code = read_options(ctl, &steps, &choice);
    if (code != CTL_OK)
        return code;
    struct arena *arena = arena_create();
    if (!scenario_read(ctl->args[0], &choice, arena, &scenario, &err)) {
        fprintf(stderr, "perfctl: %s\n", err.text);
        code = CTL_USAGE;
    } else if (!steps_run(&steps, &scenario, arena, found, &err)) {
        code = ctl_fail(ctl, err.text, "");
    }
    arena_destroy(&arena);
    return code;
}

/* ---- command ---- */

static enum ctl_exit get_points(const struct ctl *ctl, struct capacity *c)
{
    struct err err;
    const char *path = ctl_value(ctl, OPTION_points);
    if ((path == NULL) == (ctl->arg_count == 0))
        return ctl_wrong_usage("capacity needs a scenario, or --points", "");
    if (ctl->dir != NULL)
        c->present_x = measure_present(ctl->dir);
    if (path == NULL)
        return measure(ctl, &c->found);
    return points_read(&c->found.points, path, &err) ? CTL_OK : ctl_fail(ctl, err.text, "");
}

enum ctl_exit command_capacity(const struct ctl *ctl)
{
    struct err err;
    struct capacity c = {.present_x = -1};
    enum ctl_exit code = get_points(ctl, &c);
    if (code == CTL_OK)
        code = usl_fit(c.found.points.at, c.found.points.count, &c.usl, &err) ? print(ctl, &c)
                                                                              : ctl_fail(ctl, err.text, "");
    points_deinit(&c.found.points);
    return code;
}
