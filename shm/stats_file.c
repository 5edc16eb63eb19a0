#include "common/clock.h"
#include "shm/events.h"
#include "shm/heavy.h"
#include "shm/history.h"
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

#define STAGED_END ".new"

static void describe(char *file)
{
    const struct header *h = (const struct header *)(const void *)file;
    struct description *d = (struct description *)(void *)(file + h->descriptions_at);
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        for (int i = 0; i < stat_lists[scope].count; i++, d++) {
            const struct stat_info *info = &stat_lists[scope].infos[i];
            snprintf(d->name, sizeof d->name, "%s", info->name);
            snprintf(d->unit, sizeof d->unit, "%s", info->unit);
            snprintf(d->help, sizeof d->help, "%s", info->help);
            d->counter = info->counter;
            d->sum = info->sum;
            d->scope = (uint8_t)scope;
        }
}

static uint64_t lay_section(struct section *section, const char *name, uint64_t at, uint64_t bytes,
                            uint32_t record_bytes, uint32_t records)
{
    *section =
        (struct section){.at = (at + 63) / 64 * 64, .bytes = bytes, .record_bytes = record_bytes, .records = records};
    snprintf(section->name, sizeof section->name, "%s", name);
    return section->at + bytes;
}

/* All that follows from the program and the two counts. */
static struct header layout(uint32_t slots, uint32_t routes_max)
{
    struct header h = {.magic = STATS_MAGIC,
                       .format = STATS_FORMAT,
                       .slots = slots,
                       .routes_max = routes_max,
                       .counts = {STAT_COUNT, ROUTE_STAT_COUNT, HIST_COUNT, ROUTE_HIST_COUNT},
                       .buckets = HISTOGRAM_BUCKETS,
                       .version = PERFD_VERSION};
    h.descriptions_at = sizeof h;
    h.names_at = h.descriptions_at + METRICS_TOTAL * sizeof(struct description);
    uint64_t at = h.names_at + (uint64_t)routes_max * sizeof(route_name);
#define SECTION(name, bytes, record_bytes, records)                                                                    \
    at = lay_section(&h.sections[SECTION_##name], #name, at, bytes, record_bytes, records);
#include "shm/stats_sections.def"
#undef SECTION
    h.slots_at = (at + 63) / 64 * 64;
    at = stats_metrics_bytes(h.counts, routes_max);
#define SLOT_SECTION(name, bytes, record_bytes, records)                                                               \
    at = lay_section(&h.slot_sections[SLOT_SECTION_##name], #name, at, bytes, record_bytes, records);
#include "shm/stats_slot_sections.def"
#undef SLOT_SECTION
    h.slot_bytes = (at + 63) / 64 * 64;
    return h;
}

static struct stats *map_file(int fd, const struct header *h)
{
    size_t bytes = stats_total_bytes(h, h->slots);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
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
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)stats_total_bytes(h, h->slots));
    struct stats *stats = failed == 0 ? map_file(fd, h) : NULL;
    if (stats == NULL)
        err_set(err, "statistics %s, %llu bytes: %s", path, (unsigned long long)stats_total_bytes(h, h->slots),
                strerror(failed ? failed : errno));
    if (stats == NULL && fd >= 0)
        close(fd);
    if (stats == NULL)
        return NULL;
    memcpy(stats->header, h, sizeof *h);
    describe((char *)stats->header);
    stats->fd = fd;
    return stats;
}

struct stats *stats_stage(const char *path, int slots, int routes_max, struct err *err)
{
    struct header h = layout((uint32_t)slots, (uint32_t)routes_max + 1);
    size_t staged_bytes = strlen(path) + sizeof STAGED_END;
    char *staged = xmalloc(staged_bytes);
    h.started_us = clock_wall_us();
    h.master_pid = getpid();
    CHECK(slots > 0 && slots <= STATS_SLOTS_MAX && routes_max >= 0 && routes_max < STATS_ROUTES_MAX);
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

/* What another perfd must have made just so, for this one to count on in it. */
static const char *wrong_with(const struct header *h, uint64_t file_bytes)
{
    if (h->magic != STATS_MAGIC)
        return "not a statistics file of perfd";
    if (h->format != STATS_FORMAT)
        return "written by another version of perfd";
    if (h->slots < 1 || h->slots > STATS_SLOTS_MAX || h->routes_max < 1 || h->routes_max > STATS_ROUTES_MAX ||
        h->routes < 0 || (uint32_t)h->routes > h->routes_max)
        return "damaged: a count is out of bounds";
    struct header expected = layout(h->slots, h->routes_max);
    memcpy(expected.version, h->version, sizeof expected.version);
    expected.started_us = h->started_us;
    expected.master_pid = h->master_pid;
    expected.routes = h->routes;
    if (memcmp(h, &expected, sizeof expected) != 0)
        return "damaged, or its layout is another build's";
    /* It is longer for a moment when it grows, and after a growth that failed. */
    return stats_total_bytes(h, h->slots) <= file_bytes ? NULL : "damaged: its size is not what its head says";
}

static bool describes_ours(const struct stats *stats)
{
    size_t bytes = METRICS_TOTAL * sizeof(struct description);
    const struct header *h = stats->header;
    char *ours = xcalloc(1, h->descriptions_at + bytes);
    memcpy(ours, h, sizeof *h);
    describe(ours);
    bool same = memcmp(ours + h->descriptions_at, (const char *)h + h->descriptions_at, bytes) == 0;
    free(ours);
    return same;
}

struct stats *stats_attach(int fd, int slots, struct err *err)
{
    struct stat file;
    struct header copy;
    struct stats *stats = NULL;
    const char *wrong = NULL;
    if (fstat(fd, &file) != 0 || pread(fd, &copy, sizeof copy, 0) != sizeof copy)
        wrong = "not a statistics file of perfd";
    else
        wrong = wrong_with(&copy, (uint64_t)file.st_size);
    if (wrong == NULL && (stats = map_file(fd, &copy)) == NULL)
        wrong = strerror(errno);
    if (stats != NULL && !describes_ours(stats)) {
        stats_close(&stats);
        wrong = "its metrics are another build's";
    }
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

static bool map_slots(struct stats *stats, uint32_t slots)
{
    uint64_t bytes = stats_total_bytes(stats->header, slots);
    void *memory = mremap(stats->header, stats->bytes, bytes, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return false;
    stats->header = memory;
    stats->bytes = bytes;
    stats->slots = (int)slots;
    return true;
}

void stats_follow(struct stats *stats)
{
    uint32_t slots = __atomic_load_n(&stats->header->slots, __ATOMIC_ACQUIRE);
    if ((int)slots > stats->slots)
        (void)!map_slots(stats, slots);
}

bool stats_grow(struct stats *stats, int slots, struct err *err)
{
    CHECK(slots <= STATS_SLOTS_MAX);
    if (slots <= stats->slots)
        return true;
    uint64_t bytes = stats_total_bytes(stats->header, (uint32_t)slots);
    int failed = posix_fallocate(stats->fd, 0, (off_t)bytes);
    if (failed != 0 || !map_slots(stats, (uint32_t)slots))
        return err_set(err, "statistics of %d workers, %llu bytes: %s", slots, (unsigned long long)bytes,
                       strerror(failed ? failed : errno));
    __atomic_store_n(&stats->header->slots, (uint32_t)slots, __ATOMIC_RELEASE);
    return true;
}

int stats_fd(const struct stats *stats)
{
    return stats->fd;
}

bool stats_give(struct stats *stats, gid_t group, struct err *err)
{
    return fchown(stats->fd, (uid_t)-1, group) == 0 ||
           err_set(err, "statistics: they cannot be given to group %u: %s", (unsigned)group, strerror(errno));
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
