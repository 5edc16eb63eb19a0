#include "master/memory_level.h"

double memory_percent(const struct memory_use *use)
{
    return 100.0 * (double)use->used_bytes / (double)MAX(use->limit.bytes, INT64_C(1));
}

/* stalls: as much of PSI's figures. */
static bool alerts(const struct memory_level_rules *rules, const struct memory_use *use, int less_percent,
                   double stalls)
{
    return rules->alert_percent > 0 &&
           (memory_percent(use) >= rules->alert_percent - less_percent ||
            use->some_percent >= MEMORY_SOME_PERCENT * stalls || use->full_percent >= MEMORY_FULL_PERCENT * stalls);
}

static bool sheds(const struct memory_level_rules *rules, const struct memory_use *use, int less_percent)
{
    return rules->shed_percent > 0 && memory_percent(use) >= rules->shed_percent - less_percent;
}

static enum memory_level risen(struct memory_level_state *s, const struct memory_level_rules *rules,
                               const struct memory_use *use, bool cache_has_given)
{
    if (!sheds(rules, use, 0)) {
        s->over = 0;
        return s->level == MEMORY_CALM && alerts(rules, use, 0, 1) ? MEMORY_ALERT : s->level;
    }
    if (s->level < MEMORY_SHRINK)
        return MEMORY_SHRINK;
    return cache_has_given || ++s->over >= MEMORY_SHRINK_SAMPLES ? MEMORY_SHED : s->level;
}

/* What the level would be, were it never higher. */
static enum memory_level floor_of(const struct memory_level_state *s, const struct memory_level_rules *rules,
                                  const struct memory_use *use)
{
    if (s->level >= MEMORY_SHRINK && sheds(rules, use, MEMORY_HYSTERESIS_PERCENT))
        return s->level;
    return alerts(rules, use, MEMORY_HYSTERESIS_PERCENT, 0.5) ? MEMORY_ALERT : MEMORY_CALM;
}

enum memory_level memory_level_next(struct memory_level_state *s, const struct memory_level_rules *rules,
                                    const struct memory_use *use, bool cache_has_given)
{
    s->level = risen(s, rules, use, cache_has_given);
    enum memory_level floor = floor_of(s, rules, use);
    s->below = floor < s->level ? s->below + 1 : 0;
    if (s->below >= MEMORY_CALM_SAMPLES) {
        s->level = floor;
        s->below = 0;
    }
    return s->level;
}
