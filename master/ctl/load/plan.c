#include "master/ctl/load/plan.h"
#include "common/clock.h"

#include <math.h>

enum { TARGET_MAX = 1000000, STAGES_MAX = 1000 };
#define DURATION_MAX_US (INT64_C(365) * 86400 * US_PER_S) /* so that no sum of stages overflows */

/* ---- making ---- */

struct plan plan_constant(enum plan_kind kind, double level, int64_t duration_us, struct arena *arena)
{
    struct stage *stages = arena_alloc(arena, 2 * sizeof *stages);
    stages[0] = (struct stage){0, level};
    stages[1] = (struct stage){duration_us, level};
    return (struct plan){kind, stages, 2};
}

static bool read_stage(const struct node *node, enum plan_kind kind, double scale, struct stage *out, struct err *err)
{
    struct node_object object;
    struct node duration, target;
    int64_t whole = 0;
    if (!node_open(node, &object, err) || !node_need(&object, "duration", &duration, err) ||
        !node_duration(&duration, &out->duration_us, err) || !node_need(&object, "target", &target, err))
        return false;
    bool good = kind == PLAN_USERS ? node_whole(&target, 0, TARGET_MAX, &whole, err)
                                   : node_number(&target, 0, TARGET_MAX, &out->target, err);
    if (kind == PLAN_USERS)
        out->target = (double)whole;
    double scaled_us = (double)out->duration_us * scale;
    if (good && scaled_us > (double)DURATION_MAX_US)
        good = node_fail(&duration, err, "must be up to 365d");
    if (!good)
        return false;
    /* Whole milliseconds, as k6 gets them. */
    out->duration_us = llround(scaled_us / (double)US_PER_MS) * US_PER_MS;
    return node_all_taken(&object, err);
}

bool plan_read(const struct node *node, enum plan_kind kind, double scale, struct arena *arena, struct plan *out,
               struct err *err)
{
    struct node *nodes;
    int count;
    if (!node_list(node, &nodes, &count, err))
        return false;
    if (count > STAGES_MAX)
        return node_fail(node, err, "there are more than %d stages", STAGES_MAX);
    struct stage *stages = arena_alloc(arena, (size_t)count * sizeof *stages + 1);
    for (int i = 0; i < count; i++)
        if (!read_stage(&nodes[i], kind, scale, &stages[i], err))
            return false;
    *out = (struct plan){kind, stages, count};
    if (plan_length_us(out) <= 0 || plan_peak(out) <= 0)
        return node_fail(node, err, "nothing would be sent: a stage must last and one must have a target");
    return true;
}

/* ---- looking ---- */

int64_t plan_length_us(const struct plan *plan)
{
    int64_t length_us = 0;
    for (int i = 0; i < plan->count; i++)
        length_us += plan->stages[i].duration_us;
    return length_us;
}

double plan_peak(const struct plan *plan)
{
    double peak = 0;
    for (int i = 0; i < plan->count; i++)
        peak = MAX(peak, plan->stages[i].target);
    return peak;
}

/* The stage of that time, which becomes the time since its begin, and the level there. NULL: it is behind the end. */
static const struct stage *stage_at(const struct plan *plan, int64_t *at_us, double *from_out)
{
    *from_out = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct stage *stage = &plan->stages[i];
        if (*at_us < stage->duration_us || (*at_us == stage->duration_us && i == plan->count - 1))
            return stage;
        *at_us -= stage->duration_us;
        *from_out = stage->target;
    }
    return NULL;
}

static double level_in(const struct stage *stage, double from, int64_t at_us)
{
    return stage->duration_us == 0 ? stage->target
                                   : from + (stage->target - from) * (double)at_us / (double)stage->duration_us;
}

double plan_level(const struct plan *plan, int64_t at_us)
{
    double from;
    const struct stage *stage = stage_at(plan, &at_us, &from);
    return stage != NULL ? level_in(stage, from, at_us) : 0;
}

int plan_users(const struct plan *plan, int64_t at_us)
{
    double from;
    const struct stage *stage = stage_at(plan, &at_us, &from);
    if (stage == NULL)
        return 0;
    double level = level_in(stage, from, at_us);
    return (int)(stage->target < from ? ceil(level) : floor(level));
}

/* ---- arrivals ---- */

struct arrivals arrivals_of(const struct plan *plan)
{
    return (struct arrivals){.plan = plan};
}

/* Seconds into a stage until the integral of a rate that begins with `from` and changes by `slope` a second is
 * `wanted`. This form of the quadratic's root does without a difference of like numbers, and with a slope of 0. */
static double seconds_until(double wanted, double from, double slope)
{
    double root = sqrt(MAX(from * from + 2 * slope * wanted, 0.0));
    return wanted <= 0 ? 0 : 2 * wanted / (from + root);
}

bool arrivals_due(struct arrivals *a, int64_t *due_us_out)
{
    for (; a->stage < a->plan->count; a->stage++) {
        const struct stage *stage = &a->plan->stages[a->stage];
        double seconds = (double)stage->duration_us / (double)US_PER_S;
        double all = (a->from + stage->target) / 2 * seconds, wanted = (double)a->next - a->before;
        if (wanted < all) {
            double s = seconds_until(wanted, a->from, (stage->target - a->from) / seconds);
            *due_us_out = a->begin_us + MIN((int64_t)(s * (double)US_PER_S), stage->duration_us);
            return true;
        }
        a->begin_us += stage->duration_us;
        a->before += all;
        a->from = stage->target;
    }
    return false;
}

void arrivals_pass(struct arrivals *a)
{
    a->next++;
}
