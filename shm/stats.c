#include "shm/stats.h"
#include "common/clock.h"
#include "shm/events.h"
#include "shm/slow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

#define MAGIC UINT64_C(0x3174617464667270) /* "prfdtat1" */
enum { FORMAT = 5, SLOTS_MAX = 128, ROUTES_MAX = 4096, CONF_PATH_BYTES = 1024 };
enum { METRICS_TOTAL = STAT_COUNT + ROUTE_STAT_COUNT + HIST_COUNT + ROUTE_HIST_COUNT };

/* What any reader needs to read the file without this header. */
struct description {
    char name[32], unit[16], help[96];
    uint8_t counter, sum;
    uint8_t scope; /* 0 slot, 1 route, 2 histogram of a slot, 3 histogram of a route */
    uint8_t unused[5];
};

struct header {
    uint64_t magic;
    uint32_t format;
    uint32_t slots, routes_max;
    uint32_t stats, route_stats, hists, route_hists, buckets;             /* of each kind in a slot, a route */
    uint64_t names_at, conf_at, slow_at, events_at, slots_at, slot_bytes; /* slots are last: the file grows by them */
    char version[16];
    int64_t started_us;
    int32_t master_pid;
    _Atomic int32_t routes; /* rows in use */
    struct description descriptions[METRICS_TOTAL];
};

struct stats {
    struct header *header;
    size_t bytes;
    int slots;    /* that are mapped: the file may have grown since */
    int fd;       /* of who may write; -1: none */
    char *staged; /* the file's name for now; behind it stands ".new". NULL: it has its own */
};

#define STAGED_END ".new"

typedef char route_name[STATS_ROUTE_NAME_MAX];

/* A slot: stats, route stats by row, histograms, route histograms by row. */
static uint64_t slot_bytes(uint32_t routes_max)
{
    return (STAT_COUNT + (uint64_t)routes_max * ROUTE_STAT_COUNT) * sizeof(int64_t) +
           (HIST_COUNT + (uint64_t)routes_max * ROUTE_HIST_COUNT) * sizeof(struct histogram);
}

static void describe(struct description *d, const struct stat_info *infos, int count, int scope)
{
    for (int i = 0; i < count; i++, d++) {
        snprintf(d->name, sizeof d->name, "%s", infos[i].name);
        snprintf(d->unit, sizeof d->unit, "%s", infos[i].unit);
        snprintf(d->help, sizeof d->help, "%s", infos[i].help);
        d->counter = infos[i].counter;
        d->sum = infos[i].sum;
        d->scope = (uint8_t)scope;
    }
}

/* All that follows from the program and the two counts. */
static struct header layout(uint32_t slots, uint32_t routes_max)
{
    struct header h = {.magic = MAGIC,
                       .format = FORMAT,
                       .slots = slots,
                       .routes_max = routes_max,
                       .stats = STAT_COUNT,
                       .route_stats = ROUTE_STAT_COUNT,
                       .hists = HIST_COUNT,
                       .route_hists = ROUTE_HIST_COUNT,
                       .buckets = HISTOGRAM_BUCKETS,
                       .version = PERFD_VERSION};
    h.names_at = sizeof h;
    h.conf_at = h.names_at + (uint64_t)routes_max * sizeof(route_name);
    h.slow_at = (h.conf_at + CONF_PATH_BYTES + 63) / 64 * 64;
    h.events_at = h.slow_at + slow_bytes();
    h.slots_at = (h.events_at + events_bytes() + 63) / 64 * 64;
    h.slot_bytes = slot_bytes(routes_max);
    struct description *d = h.descriptions;
    describe(d, stat_infos, STAT_COUNT, 0);
    describe(d += STAT_COUNT, route_stat_infos, ROUTE_STAT_COUNT, 1);
    describe(d += ROUTE_STAT_COUNT, hist_infos, HIST_COUNT, 2);
    describe(d + HIST_COUNT, route_hist_infos, ROUTE_HIST_COUNT, 3);
    return h;
}

/* ---- making and opening ---- */

static uint64_t total_bytes(const struct header *h, uint32_t slots)
{
    return h->slots_at + (slots + 1) * h->slot_bytes;
}

static struct stats *map_file(int fd, const struct header *h, int protection)
{
    size_t bytes = total_bytes(h, h->slots);
    void *memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct stats *stats = xcalloc(1, sizeof *stats);
    *stats = (struct stats){memory, bytes, (int)h->slots, -1, NULL};
    return stats;
}

/* posix_fallocate() so that a full disk is an error here; a hole would be a SIGBUS at a counter's first use. */
static struct stats *make_file(const char *path, const struct header *h, struct err *err)
{
    unlink(path); /* a dead one's: it may still be mapped by a process of his */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)total_bytes(h, h->slots));
    struct stats *stats = failed == 0 ? map_file(fd, h, PROT_READ | PROT_WRITE) : NULL;
    if (stats == NULL)
        err_set(err, "statistics %s, %llu bytes: %s", path, (unsigned long long)total_bytes(h, h->slots),
                strerror(failed ? failed : errno));
    else
        memcpy(stats->header, h, sizeof *h);
    if (stats != NULL)
        stats->fd = fd;
    else if (fd >= 0)
        close(fd);
    return stats;
}

struct stats *stats_stage(const char *path, int slots, int routes_max, struct err *err)
{
    struct header h = layout((uint32_t)slots, (uint32_t)routes_max + 1);
    size_t staged_bytes = strlen(path) + sizeof STAGED_END;
    char *staged = xmalloc(staged_bytes);
    h.started_us = clock_wall_us();
    h.master_pid = getpid();
    CHECK(slots > 0 && slots <= SLOTS_MAX && routes_max >= 0 && routes_max < ROUTES_MAX);
    snprintf(staged, staged_bytes, "%s%s", path, STAGED_END);
    struct stats *stats = make_file(staged, &h, err);
    if (stats == NULL) {
        unlink(staged);
        free(staged);
        return NULL;
    }
    stats->staged = staged;
    CHECK(stats_route_row(stats, "(other)") == 0);
    return stats;
}

/* A reader sees the old file or a whole new one. */
bool stats_show(struct stats *stats, struct err *err)
{
    if (stats->staged == NULL)
        return true;
    char *path = xstrdup(stats->staged);
    path[strlen(path) - strlen(STAGED_END)] = '\0';
    bool ok = rename(stats->staged, path) == 0 || err_set(err, "statistics %s: %s", path, strerror(errno));
    free(path);
    if (ok) {
        free(stats->staged);
        stats->staged = NULL;
    }
    return ok;
}

struct stats *stats_create(const char *path, int slots, int routes_max, struct err *err)
{
    struct stats *stats = stats_stage(path, slots, routes_max, err);
    if (stats != NULL && !stats_show(stats, err))
        stats_close(&stats);
    return stats;
}

static const char *wrong_with(const struct header *h, uint64_t file_bytes, bool same_version)
{
    if (h->magic != MAGIC)
        return "not a statistics file of perfd";
    if (h->format != FORMAT || (same_version && strncmp(h->version, PERFD_VERSION, sizeof h->version) != 0))
        return "written by another version of perfd";
    if (h->slots < 1 || h->slots > SLOTS_MAX || h->routes_max < 1 || h->routes_max > ROUTES_MAX || h->routes < 0 ||
        (uint32_t)h->routes > h->routes_max)
        return "damaged: a count is out of bounds";
    struct header expected = layout(h->slots, h->routes_max);
    if (!same_version)
        memcpy(expected.version, h->version, sizeof expected.version);
    expected.started_us = h->started_us;
    expected.master_pid = h->master_pid;
    expected.routes = h->routes;
    if (memcmp(h, &expected, sizeof expected) != 0)
        return "damaged, or its metrics are another build's";
    /* It is longer for a moment when it grows, and after a growth that failed. */
    return total_bytes(h, h->slots) <= file_bytes ? NULL : "damaged: its size is not what its head says";
}

struct stats *stats_open(const char *path, struct err *err)
{
    struct stat file;
    struct header *copy = xmalloc(sizeof *copy);
    struct stats *stats = NULL;
    const char *wrong = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0)
        wrong = strerror(errno);
    else if (pread(fd, copy, sizeof *copy, 0) != sizeof *copy)
        wrong = "not a statistics file of perfd";
    else
        wrong = wrong_with(copy, (uint64_t)file.st_size, true);
    if (wrong == NULL && (stats = map_file(fd, copy, PROT_READ)) == NULL)
        wrong = strerror(errno);
    if (wrong != NULL)
        err_set(err, "%s: %s", path, wrong);
    if (fd >= 0)
        close(fd);
    free(copy);
    return stats;
}

struct stats *stats_attach(int fd, int slots, struct err *err)
{
    struct stat file;
    struct header *copy = xmalloc(sizeof *copy);
    struct stats *stats = NULL;
    const char *wrong = NULL;
    if (fstat(fd, &file) != 0 || pread(fd, copy, sizeof *copy, 0) != sizeof *copy)
        wrong = "not a statistics file of perfd";
    else
        wrong = wrong_with(copy, (uint64_t)file.st_size, false);
    if (wrong == NULL && (stats = map_file(fd, copy, PROT_READ | PROT_WRITE)) == NULL)
        wrong = strerror(errno);
    free(copy);
    if (stats == NULL) {
        err_set(err, "%s", wrong);
        return NULL;
    }
    stats->fd = fd;
    if (stats_grow(stats, slots, err))
        return stats;
    stats->fd = -1;
    stats_close(&stats);
    return NULL;
}

bool stats_grow(struct stats *stats, int slots, struct err *err)
{
    CHECK(slots <= SLOTS_MAX);
    if (slots <= stats->slots)
        return true;
    uint64_t bytes = total_bytes(stats->header, (uint32_t)slots);
    int failed = posix_fallocate(stats->fd, 0, (off_t)bytes);
    void *memory = failed == 0 ? mremap(stats->header, stats->bytes, bytes, MREMAP_MAYMOVE) : MAP_FAILED;
    if (memory == MAP_FAILED)
        return err_set(err, "statistics of %d workers, %llu bytes: %s", slots, (unsigned long long)bytes,
                       strerror(failed ? failed : errno));
    stats->header = memory;
    stats->bytes = bytes;
    stats->slots = slots;
    __atomic_store_n(&stats->header->slots, (uint32_t)slots, __ATOMIC_RELEASE);
    return true;
}

int stats_fd(const struct stats *stats)
{
    return stats->fd;
}

void stats_close_fd(struct stats *stats)
{
    if (stats->fd >= 0)
        close(stats->fd);
    stats->fd = -1;
}

void stats_own(struct stats *stats)
{
    struct header *h = stats->header;
    if (strncmp(h->version, PERFD_VERSION, sizeof h->version) != 0) {
        memset(h->version, 0, sizeof h->version);
        snprintf(h->version, sizeof h->version, "%s", PERFD_VERSION);
    }
    h->master_pid = getpid();
}

void stats_close(struct stats **stats)
{
    if (*stats == NULL)
        return;
    stats_close_fd(*stats);
    if ((*stats)->staged != NULL)
        unlink((*stats)->staged);
    free((*stats)->staged);
    munmap((*stats)->header, (*stats)->bytes);
    free(*stats);
    *stats = NULL;
}

/* ---- routes ---- */

static route_name *names(const struct stats *stats)
{
    return (route_name *)(void *)((char *)stats->header + stats->header->names_at);
}

int stats_route_row(struct stats *stats, const char *name)
{
    struct header *h = stats->header;
    int count = h->routes;
    for (int row = 0; row < count; row++)
        if (strncmp(names(stats)[row], name, sizeof(route_name) - 1) == 0)
            return row;
    if (count == (int)h->routes_max)
        return 0;
    snprintf(names(stats)[count], sizeof(route_name), "%s", name);
    atomic_store_explicit(&h->routes, count + 1, memory_order_release);
    return count;
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

static struct histogram *route_hist_at(const struct stats *stats, int slot, int row, enum route_hist hist)
{
    CHECK(row >= 0 && row < (int)stats->header->routes_max);
    return hist_at(stats, slot, HIST_COUNT + row * ROUTE_HIST_COUNT + (int)hist);
}

/* ---- writing ---- */

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

void stats_set(struct stats *stats, int slot, enum metric stat, int64_t value)
{
    __atomic_store_n(stat_at(stats, slot, stat), value, __ATOMIC_RELAXED);
}

void stats_clear_gauges(struct stats *stats, int slot)
{
    for (int i = 0; i < STAT_COUNT; i++)
        if (!stat_infos[i].counter)
            stats_set(stats, slot, (enum metric)i, 0);
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

/* ---- reading ---- */

static int64_t load(const int64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void add_up(struct histogram *sum, const struct histogram *h)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] += __atomic_load_n(&h->buckets[i], __ATOMIC_RELAXED);
}

int stats_slots(const struct stats *stats)
{
    return stats->slots;
}

int64_t stats_get(const struct stats *stats, int slot, enum metric stat)
{
    return load(stat_at(stats, slot, stat));
}

int64_t stats_sum(const struct stats *stats, enum metric stat)
{
    int64_t result = 0;
    for (int slot = STATS_KEEPER; slot < stats_slots(stats); slot++) {
        int64_t value = stats_get(stats, slot, stat);
        result = stat_infos[stat].sum ? result + value : MAX(result, value);
    }
    return result;
}

int64_t stats_route_sum(const struct stats *stats, int row, enum route_stat stat)
{
    int64_t result = 0;
    for (int slot = STATS_KEEPER; slot < stats_slots(stats); slot++)
        result += load(route_stat_at(stats, slot, row, stat));
    return result;
}

void stats_hist_get(const struct stats *stats, int slot, enum stat_hist hist, struct histogram *out)
{
    *out = (struct histogram){0};
    add_up(out, hist_at(stats, slot, (int)hist));
}

void stats_hist_sum(const struct stats *stats, enum stat_hist hist, struct histogram *sum_out)
{
    *sum_out = (struct histogram){0};
    for (int slot = STATS_KEEPER; slot < stats_slots(stats); slot++)
        add_up(sum_out, hist_at(stats, slot, (int)hist));
}

void stats_route_hist_sum(const struct stats *stats, int row, enum route_hist hist, struct histogram *sum_out)
{
    *sum_out = (struct histogram){0};
    for (int slot = STATS_KEEPER; slot < stats_slots(stats); slot++)
        add_up(sum_out, route_hist_at(stats, slot, row, hist));
}

int64_t stats_started_us(const struct stats *stats)
{
    return stats->header->started_us;
}

int stats_master_pid(const struct stats *stats)
{
    return stats->header->master_pid;
}

struct ring *stats_slow(const struct stats *stats)
{
    return (struct ring *)(void *)((char *)stats->header + stats->header->slow_at);
}

struct ring *stats_events(const struct stats *stats)
{
    return (struct ring *)(void *)((char *)stats->header + stats->header->events_at);
}

static char *conf_at(const struct stats *stats)
{
    return (char *)stats->header + stats->header->conf_at;
}

void stats_set_conf(struct stats *stats, const char *path)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) != NULL && strlen(absolute) < CONF_PATH_BYTES)
        memcpy(conf_at(stats), absolute, strlen(absolute) + 1);
}

const char *stats_conf(const struct stats *stats)
{
    const char *path = conf_at(stats);
    return memchr(path, '\0', CONF_PATH_BYTES) != NULL ? path : "";
}
