#include "common/clock.h"
#include "shm/events.h"
#include "shm/slow.h"
#include "shm/stats_layout.h"

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

#define MAGIC UINT64_C(0x3174617464667270) /* "prfdtat1" */
enum { FORMAT = 5, SLOTS_MAX = 128, ROUTES_MAX = 4096 };
#define STAGED_END ".new"

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
