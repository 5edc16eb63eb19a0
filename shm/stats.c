#include "shm/stats.h"
#include "shm/stats_layout.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER true
#define GAUGE false
#define AGGREGATES_SUM true
#define AGGREGATES_MAX false
#define METRIC(name, kind, aggregation, unit, help) {#name, kind, AGGREGATES_##aggregation, unit, help},
#define ROUTE_METRIC(name, kind, aggregation, unit, help)
#define HISTOGRAM(name, unit, help)
#define ROUTE_HISTOGRAM(name, unit, help)
const struct stat_info stat_infos[STAT_COUNT] = {
#include "shm/stats.def"
};
#undef METRIC
#undef ROUTE_METRIC
#define METRIC(name, kind, aggregation, unit, help)
#define ROUTE_METRIC(name, kind, aggregation, unit, help) {#name, kind, AGGREGATES_##aggregation, unit, help},
const struct stat_info route_stat_infos[ROUTE_STAT_COUNT] = {
#include "shm/stats.def"
};
#undef ROUTE_METRIC
#undef HISTOGRAM
#define ROUTE_METRIC(name, kind, aggregation, unit, help)
#define HISTOGRAM(name, unit, help) {#name, true, true, unit, help},
const struct stat_info hist_infos[HIST_COUNT] = {
#include "shm/stats.def"
};
#undef HISTOGRAM
#undef ROUTE_HISTOGRAM
#define HISTOGRAM(name, unit, help)
#define ROUTE_HISTOGRAM(name, unit, help) {#name, true, true, unit, help},
const struct stat_info route_hist_infos[ROUTE_HIST_COUNT] = {
#include "shm/stats.def"
};

const struct stat_list stat_lists[STATS_SCOPES] = {[SCOPE_SLOT] = {stat_infos, STAT_COUNT},
                                                   [SCOPE_ROUTE] = {route_stat_infos, ROUTE_STAT_COUNT},
                                                   [SCOPE_HIST] = {hist_infos, HIST_COUNT},
                                                   [SCOPE_ROUTE_HIST] = {route_hist_infos, ROUTE_HIST_COUNT}};

/* ---- routes ---- */

static route_name *names(const struct stats *stats)
{
    return (route_name *)(void *)((char *)stats->header + stats->header->names_at);
}

/* What there is room for of it, by whole characters: nobody who reads UTF-8 takes half of one. */
static int name_bytes(const char *name)
{
    size_t len = strnlen(name, sizeof(route_name));
    if (len == sizeof(route_name))
        do
            len--;
        while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80);
    return (int)len;
}

int stats_route_row(struct stats *stats, const char *name)
{
    struct header *h = stats->header;
    int count = h->routes;
    route_name kept = "";
    snprintf(kept, sizeof kept, "%.*s", name_bytes(name), name);
    for (int row = 0; row < count; row++)
        if (strcmp(names(stats)[row], kept) == 0)
            return row;
    if (count == (int)h->routes_max)
        return 0;
    memcpy(names(stats)[count], kept, sizeof kept);
    atomic_store_explicit(&h->routes, count + 1, memory_order_release);
    return count;
}

static uint64_t *version_at(const struct stats *stats, int row)
{
    CHECK(row >= 0 && row < (int)stats->header->routes_max);
    return (uint64_t *)stats_section(stats, SECTION_versions) + row;
}

void stats_set_route_version(struct stats *stats, int row, uint64_t version)
{
    __atomic_store_n(version_at(stats, row), version, __ATOMIC_RELAXED);
}

uint64_t stats_route_version(const struct stats *stats, int row)
{
    return __atomic_load_n(version_at(stats, row), __ATOMIC_RELAXED);
}

int stats_routes(const struct stats *stats)
{
    int32_t routes = atomic_load_explicit(&stats->header->routes, memory_order_acquire);
    return MIN(MAX(routes, 0), (int32_t)stats->header->routes_max);
}

const char *stats_route_name(const struct stats *stats, int row)
{
    return names(stats)[row];
}

/* ---- places ---- */

static char *slot_at(const struct stats *stats, int slot)
{
    const struct header *h = stats->header;
    CHECK(slot >= STATS_KEEPER && slot < stats->slots);
    return (char *)stats->header + h->slots_at + (uint64_t)(slot - STATS_KEEPER) * h->slot_bytes;
}

static int64_t *stat_at(const struct stats *stats, int slot, enum metric stat)
{
    return (int64_t *)(void *)slot_at(stats, slot) + stat;
}

static int64_t *route_stat_at(const struct stats *stats, int slot, int row, enum route_stat stat)
{
    CHECK(row >= 0 && row < (int)stats->header->routes_max);
    return stat_at(stats, slot, STAT_COUNT) + row * ROUTE_STAT_COUNT + stat;
}

static struct histogram *hist_at(const struct stats *stats, int slot, int index)
{
    int64_t *hists = stat_at(stats, slot, STAT_COUNT) + (int64_t)stats->header->routes_max * ROUTE_STAT_COUNT;
    return (struct histogram *)(void *)hists + index;
}

/* ---- writing ---- */

void stats_set(struct stats *stats, int slot, enum metric stat, int64_t value)
{
    __atomic_store_n(stat_at(stats, slot, stat), value, __ATOMIC_RELAXED);
}

void stats_route_set(struct stats *stats, int slot, int row, enum route_stat stat, int64_t value)
{
    __atomic_store_n(route_stat_at(stats, slot, row, stat), value, __ATOMIC_RELAXED);
}

void stats_clear_gauges(struct stats *stats, int slot)
{
    for (int i = 0; i < STAT_COUNT; i++)
        if (!stat_infos[i].counter)
            stats_set(stats, slot, (enum metric)i, 0);
}

#ifndef PERFD_NO_STATS
static struct histogram *route_hist_at(const struct stats *stats, int slot, int row, enum route_hist hist)
{
    CHECK(row >= 0 && row < (int)stats->header->routes_max);
    return hist_at(stats, slot, HIST_COUNT + row * ROUTE_HIST_COUNT + (int)hist);
}

static void add(int64_t *at, int64_t n)
{
    __atomic_fetch_add(at, n, __ATOMIC_RELAXED);
}

static void observe(struct histogram *h, int64_t us)
{
    __atomic_fetch_add(&h->buckets[histogram_bucket(us)], 1, __ATOMIC_RELAXED);
}

void stats_add(struct stats *stats, int slot, enum metric stat, int64_t n)
{
    add(stat_at(stats, slot, stat), n);
}

void stats_route_add(struct stats *stats, int slot, int row, enum route_stat stat, int64_t n)
{
    add(route_stat_at(stats, slot, row, stat), n);
}

void stats_observe(struct stats *stats, int slot, enum stat_hist hist, int64_t us)
{
    observe(hist_at(stats, slot, (int)hist), us);
}

void stats_route_observe(struct stats *stats, int slot, int row, enum route_hist hist, int64_t us)
{
    observe(route_hist_at(stats, slot, row, hist), us);
}
#endif

/* ---- reading ---- */

int stats_slots(const struct stats *stats)
{
    return stats->slots;
}

int64_t stats_get(const struct stats *stats, int slot, enum metric stat)
{
    return __atomic_load_n(stat_at(stats, slot, stat), __ATOMIC_RELAXED);
}

int64_t stats_sum(const struct stats *stats, enum metric stat)
{
    int64_t result = 0;
    for (int slot = STATS_KEEPER; slot < stats->slots; slot++) {
        int64_t value = stats_get(stats, slot, stat);
        result = stat_infos[stat].sum ? result + value : MAX(result, value);
    }
    return result;
}

void stats_hist_sum(const struct stats *stats, enum stat_hist hist, struct histogram *sum_out)
{
    *sum_out = (struct histogram){0};
    for (int slot = STATS_KEEPER; slot < stats->slots; slot++) {
        const struct histogram *h = hist_at(stats, slot, (int)hist);
        for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
            sum_out->buckets[i] += __atomic_load_n(&h->buckets[i], __ATOMIC_RELAXED);
    }
}

int stats_master_pid(const struct stats *stats)
{
    return stats->header->master_pid;
}

void *stats_section(const struct stats *stats, enum stats_section section)
{
    return (char *)stats->header + stats->header->sections[section].at;
}

struct heavy *stats_slot_section(const struct stats *stats, int slot, enum stats_slot_section section)
{
    return (struct heavy *)(void *)(slot_at(stats, slot) + stats->header->slot_sections[section].at);
}

struct ring *stats_slow(const struct stats *stats)
{
    return stats_section(stats, SECTION_slow);
}

struct ring *stats_events(const struct stats *stats)
{
    return stats_section(stats, SECTION_events);
}

void stats_set_conf(struct stats *stats, const char *path)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) != NULL && strlen(absolute) < CONF_PATH_BYTES)
        memcpy(stats_section(stats, SECTION_conf), absolute, strlen(absolute) + 1);
}

const char *stats_conf(const struct stats *stats)
{
    return stats_section(stats, SECTION_conf);
}
