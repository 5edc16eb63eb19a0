#include "master/memory_system.h"
#include "common/log.h"
#include "master/note.h"
#include "shm/cache.h"

/* The cache grows again by so small a share of itself a sample, after so many samples with room. */
enum { GROW_SHARE = 16, ROOMY_SAMPLES = 30 };

static long long mb(int64_t bytes)
{
    return (long long)(bytes >> 20);
}

static void tell(struct shared *shared, enum memory_level before, enum memory_level now, const struct memory_use *use)
{
    static const char *const words[MEMORY_LEVELS] = {
        [MEMORY_CALM] = "memory is no longer short",
        [MEMORY_ALERT] = "memory is short",
        [MEMORY_SHRINK] = "memory is so short that the cache gives some back",
        [MEMORY_SHED] = "memory is so short that requests which the cache has no answer for are refused"};
    char figures[400];
    snprintf(figures, sizeof figures, "%.0f %% of %lld MB (%s), %.1f %% of the time some wait for it, %.1f %% all do",
             memory_percent(use), mb(use->limit.bytes), use->limit.source, use->some_percent, use->full_percent);
    if (now >= MEMORY_SHRINK && now > before)
        note(shared, memory_shed, EVENT_NO_SLOT, 0, "%s: %s", words[now], figures);
    else
        note(shared, memory_alert, EVENT_NO_SLOT, 0, "%s: %s", words[now], figures);
}

void memory_system_init(struct memory_system *m, const struct shared *shared)
{
    *m = (struct memory_system){.state.level = pressure_level(shared->pressure)};
}

/* As much as leads back to where the level falls. */
static void shrink_cache(const struct conf *conf, struct shared *shared, const struct memory_use *use,
                         const struct cache_given *given)
{
    int64_t good = use->limit.bytes / 100 * (conf->memory.shed_percent - MEMORY_HYSTERESIS_PERCENT);
    int64_t wanted = given->bytes + use->used_bytes - good;
    if (use->used_bytes > good && wanted > given->wanted_bytes)
        cache_give(shared->cache, wanted);
}

static void grow_cache(struct memory_system *m, const struct conf *conf, struct shared *shared,
                       const struct memory_use *use, const struct cache_given *given)
{
    int percent = conf->memory.alert_percent > 0 ? conf->memory.alert_percent : conf->memory.shed_percent;
    int64_t step = MAX(given->log_bytes / GROW_SHARE, INT64_C(1)),
            good = percent > 0 ? use->limit.bytes / 100 * (percent - MEMORY_HYSTERESIS_PERCENT) : INT64_MAX;
    /* What it was allowed before may not have been written to yet. */
    m->roomy = use->used_bytes + step < good ? m->roomy + 1 : 0;
    if (m->roomy > ROOMY_SAMPLES && given->wanted_bytes > 0)
        cache_give(shared->cache, given->wanted_bytes - step);
}

static void show(struct shared *shared, const struct memory_use *use, const struct cache_given *given,
                 enum memory_level level)
{
    struct stats *stats = shared->stats;
    stats_set(stats, STATS_KEEPER, STAT_memory_level, level);
    stats_set(stats, STATS_KEEPER, STAT_cache_away_bytes, given->bytes);
    stats_set(stats, STATS_KEEPER, STAT_memory_used_bytes, use->used_bytes);
    stats_set(stats, STATS_KEEPER, STAT_memory_limit_bytes, use->limit.bytes);
    stats_set(stats, STATS_KEEPER, STAT_memory_some_percent, (int64_t)(use->some_percent + 0.5));
    stats_set(stats, STATS_KEEPER, STAT_memory_full_percent, (int64_t)(use->full_percent + 0.5));
}

void memory_system_sample(struct memory_system *m, const struct conf *conf, struct shared *shared)
{
    const struct memory_level_rules rules = {conf->memory.alert_percent, conf->memory.shed_percent};
    struct memory_use use;
    struct cache_given given;
    if (!memory_use(memory_root(), &use))
        return;
    cache_given(shared->cache, &given);
    bool has_given = given.bytes >= given.wanted_bytes && given.wanted_bytes >= given.most_bytes;
    enum memory_level before = m->state.level, now = memory_level_next(&m->state, &rules, &use, has_given);
    if (now >= MEMORY_SHRINK) {
        m->roomy = 0;
        shrink_cache(conf, shared, &use, &given);
    } else {
        grow_cache(m, conf, shared, &use, &given);
    }
    pressure_set(shared->pressure, now);
    if (now != before)
        tell(shared, before, now, &use);
    show(shared, &use, &given, now);
}
