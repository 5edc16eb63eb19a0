#include "master/memory_growth.h"

static int64_t age_least(const struct growth *g)
{
    return MAX(g->age_least_samples, (int64_t)GROWTH_YOUNG_SAMPLES);
}

void growth_tick(struct growth *g)
{
    g->since_replaced_samples++;
}

int64_t growth_soft_bytes(int64_t soft_bytes, int pid)
{
    uint32_t mixed = (uint32_t)pid * UINT32_C(2654435761) >> 8;
    int64_t permille = (int64_t)(mixed % (20 * GROWTH_JITTER_PERCENT + 1)) - 10 * GROWTH_JITTER_PERCENT;
    return soft_bytes + soft_bytes / 1000 * permille;
}

static enum growth_verdict too_young(struct growth *g, struct growth_of *of)
{
    bool told = g->told;
    if (of->young)
        return GROWTH_NONE;
    of->young = true;
    g->age_least_samples = MIN(2 * age_least(g), (int64_t)GROWTH_AGE_MOST_SAMPLES);
    g->told = true;
    return told ? GROWTH_NONE : GROWTH_LIMIT_WRONG;
}

static enum growth_verdict replace(struct growth *g, const struct growth_of *of)
{
    if (!of->young) {
        g->age_least_samples = 0;
        g->told = false;
    }
    g->replaced = true;
    g->since_replaced_samples = 0;
    return GROWTH_REPLACE;
}

enum growth_verdict growth_judge(struct growth *g, struct growth_of *of, const struct growth_sample *s)
{
    if (s->hard_bytes > 0 && s->bytes > s->hard_bytes)
        return GROWTH_KILL;
    bool over = s->soft_bytes > 0 && s->bytes > growth_soft_bytes(s->soft_bytes, of->pid);
    of->over = over ? of->over + 1 : 0;
    if (of->over < GROWTH_OVER_SAMPLES)
        return GROWTH_NONE;
    if (s->age_samples < GROWTH_YOUNG_SAMPLES)
        return too_young(g, of);
    bool apart = !g->replaced || g->since_replaced_samples >= GROWTH_APART_SAMPLES;
    return s->replaceable && apart && s->age_samples >= age_least(g) ? replace(g, of) : GROWTH_NONE;
}
