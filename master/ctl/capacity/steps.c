#include "master/ctl/capacity/steps.h"
#include "common/clock.h"
#include "master/ctl/format.h"
#include "master/ctl/load/load.h"

#include <stdio.h>
#include <stdlib.h>

enum { USUAL_MAX = 400 };
#define BRINGS_MORE 1.03

void steps_usual(struct steps *s)
{
    s->all = false;
    s->count = 0;
    for (int power = 1; power < USUAL_MAX; power *= 2) {
        s->users[s->count++] = power;
        if (power >= 2 && power + power / 2 < USUAL_MAX)
            s->users[s->count++] = power + power / 2;
    }
}

bool steps_parse(const char *text, struct steps *s, struct err *err)
{
    long last = 0;
    s->all = true;
    s->count = 0;
    for (const char *at = text;; at++) {
        char *end;
        long users = strtol(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || (*end != ',' && *end != '\0'))
            return err_set(err, "\"%.60s\" is not a list of numbers, as 1,2,4,8", text);
        if (users <= last || users > STEPS_USERS_MAX || s->count == STEPS_MAX)
            return err_set(err, "\"%.60s\" is not rising from 1 to %d at most in up to %d steps", text, STEPS_USERS_MAX,
                           STEPS_MAX);
        s->users[s->count++] = (int)(last = users);
        if (*end == '\0')
            return true;
        at = end;
    }
}

/* Two steps after each other of which none beats what was there before. */
static bool is_flat(const struct points *p)
{
    double best = 0;
    for (int i = 0; i + 2 < p->count; i++)
        best = MAX(best, p->at[i].x);
    return p->count >= USL_POINTS_MIN && MAX(p->at[p->count - 1].x, p->at[p->count - 2].x) < BRINGS_MORE * best;
}

static void take_result(struct steps_found *found, int users, const struct load_result *r)
{
    int64_t good = r->total.requests - r->total.failed;
    bool saturated = meter_is_saturated(&r->meter);
    found->requests += r->total.requests;
    found->failed += r->total.failed;
    found->saturated += saturated;
    found->interrupted = r->interrupted;
    if (r->interrupted)
        return;
    double x = (double)good * (double)US_PER_S / (double)MAX(r->span_us, INT64_C(1));
    int64_t p95_us = tally_quantile_us(&r->total, 0.95);
    fprintf(stderr, "N = %d: %.1f/s, p95 %s, %s failed%s\n", users, x, p95_us < 0 ? "-" : format_us(p95_us).s,
            format_count(r->total.failed).s, saturated ? "; the generator was the limit" : "");
    if (good > 0)
        points_add(&found->points, users, x);
}

bool steps_run(const struct steps *s, struct scenario *scenario, struct arena *arena, struct steps_found *out,
               struct err *err)
{
    const struct load_options options = {.scenario = scenario, .seed = s->seed, .connections = 1};
    *out = (struct steps_found){0};
    scenario->think_from_us = scenario->think_to_us = 0;
    for (int i = 0; i < s->count && !out->interrupted && (s->all || !is_flat(&out->points)); i++) {
        struct load_result result;
        scenario->plan = plan_constant(PLAN_USERS, s->users[i], s->step_us, arena);
        if (!load_run(&options, &result, err))
            return false;
        take_result(out, s->users[i], &result);
        load_result_deinit(&result);
    }
    return true;
}
