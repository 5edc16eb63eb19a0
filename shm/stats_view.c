#include "shm/stats_view.h"
#include "shm/events.h"
#include "shm/heavy.h"
#include "shm/history.h"
#include "shm/slow.h"
#include "shm/stats_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct stats_view {
    char *path;
    int fd;
    dev_t device;
    ino_t inode;
    const struct header *header;
    size_t bytes;
    int slots;                            /* that are mapped */
    struct header trusted;                /* as it was checked: the file's own may change since */
    struct stat_list lists[STATS_SCOPES]; /* point into the next two */
    struct stat_info *infos;
    struct description *descriptions;
};

/* ---- checks ---- */

static bool in_bounds(const struct header *h)
{
    uint64_t metrics = 0;
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        metrics += h->counts[scope];
    return metrics <= STATS_METRICS_MAX && h->slots >= 1 && h->slots <= STATS_SLOTS_MAX && h->routes_max >= 1 &&
           h->routes_max <= STATS_ROUTES_MAX;
}

static bool fits(uint64_t at, uint64_t bytes, uint64_t file_bytes)
{
    return at % sizeof(int64_t) == 0 && at <= file_bytes && bytes <= file_bytes - at;
}

static bool sections_fit(const struct section *sections, int count, uint64_t bytes)
{
    for (int i = 0; i < count; i++) {
        const struct section *section = &sections[i];
        if (section->name[0] != '\0' &&
            (!fits(section->at, section->bytes, bytes) || memchr(section->name, '\0', sizeof section->name) == NULL))
            return false;
    }
    return true;
}

static uint64_t metrics_of(const struct header *h)
{
    return (uint64_t)h->counts[0] + h->counts[1] + h->counts[2] + h->counts[3];
}

static const char *wrong_with(const struct header *h, uint64_t file_bytes)
{
    if (h->magic != STATS_MAGIC)
        return "not a statistics file of perfd";
    if (h->format != STATS_FORMAT)
        return "written by a perfd whose statistics files are others; use its own perfctl";
    if (h->buckets != HISTOGRAM_BUCKETS)
        return "its histograms are others than this perfctl knows";
    if (!in_bounds(h))
        return "damaged: a count is out of bounds";
    if (h->slot_bytes % sizeof(int64_t) != 0 || h->slot_bytes < stats_metrics_bytes(h->counts, h->routes_max) ||
        !sections_fit(h->slot_sections, STATS_SLOT_SECTIONS_MAX, h->slot_bytes))
        return "damaged: a slot is not as large as what it has";
    if (h->slot_bytes > file_bytes || !fits(h->slots_at, (h->slots + UINT64_C(1)) * h->slot_bytes, file_bytes))
        return "cut short: its size is not what its head says";
    uint64_t mapped = stats_total_bytes(h, h->slots);
    if (!fits(h->descriptions_at, metrics_of(h) * sizeof(struct description), mapped) ||
        !fits(h->names_at, h->routes_max * sizeof(route_name), mapped) ||
        !sections_fit(h->sections, STATS_SECTIONS_MAX, mapped) || memchr(h->version, '\0', sizeof h->version) == NULL)
        return "damaged: something lies outside of it";
    return NULL;
}

/* ---- what it describes ---- */

/* It is told to programs that take nothing else for one. */
static bool is_name(const char *name, size_t room)
{
    size_t len = strnlen(name, room);
    return len > 0 && len < room && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool is_described_well(const struct description *d, int scope)
{
    return d->scope == scope && is_name(d->name, sizeof d->name) && memchr(d->unit, '\0', sizeof d->unit) != NULL &&
           memchr(d->help, '\0', sizeof d->help) != NULL;
}

static const char *read_lists(struct stats_view *view)
{
    size_t metrics = metrics_of(&view->trusted);
    struct description *d = view->descriptions = xcalloc(metrics + 1, sizeof *d);
    struct stat_info *info = view->infos = xcalloc(metrics + 1, sizeof *info);
    memcpy(d, (const char *)view->header + view->trusted.descriptions_at, metrics * sizeof *d);
    for (int scope = 0; scope < STATS_SCOPES; scope++) {
        int count = (int)view->trusted.counts[scope];
        view->lists[scope] = (struct stat_list){info, count};
        for (int i = 0; i < count; i++, d++, info++) {
            if (!is_described_well(d, scope))
                return "damaged: a metric is not described";
            *info = (struct stat_info){d->name, d->counter != 0, d->sum != 0, d->unit, d->help};
        }
    }
    return NULL;
}

/* ---- opening ---- */

static const char *map_file(struct stats_view *view, uint64_t file_bytes)
{
    if (pread(view->fd, &view->trusted, sizeof view->trusted, 0) != sizeof view->trusted)
        return "not a statistics file of perfd";
    const char *wrong = wrong_with(&view->trusted, file_bytes);
    if (wrong != NULL)
        return wrong;
    size_t bytes = stats_total_bytes(&view->trusted, view->trusted.slots);
    void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, view->fd, 0);
    if (memory == MAP_FAILED)
        return strerror(errno);
    view->header = memory;
    view->bytes = bytes;
    view->slots = (int)view->trusted.slots;
    return read_lists(view);
}

struct stats_view *stats_view_open(const char *path, struct err *err)
{
    struct stat file;
    struct stats_view *view = xcalloc(1, sizeof *view);
    view->path = xstrdup(path);
    view->fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_there = view->fd >= 0 && fstat(view->fd, &file) == 0;
    const char *wrong = is_there          ? map_file(view, (uint64_t)file.st_size)
                        : errno == EACCES ? "only its owner and the group of perfd's workers may read it"
                                          : strerror(errno);
    if (wrong != NULL) {
        err_set(err, "%s: %s", path, wrong);
        stats_view_close(&view);
        return NULL;
    }
    view->device = file.st_dev;
    view->inode = file.st_ino;
    return view;
}

void stats_view_close(struct stats_view **doomed)
{
    struct stats_view *view = *doomed;
    *doomed = NULL;
    if (view == NULL)
        return;
    if (view->header != NULL)
        munmap((void *)(uintptr_t)view->header, view->bytes);
    if (view->fd >= 0)
        close(view->fd);
    free(view->infos);
    free(view->descriptions);
    free(view->path);
    free(view);
}

bool stats_view_is_current(const struct stats_view *view)
{
    struct stat file;
    return stat(view->path, &file) == 0 && file.st_dev == view->device && file.st_ino == view->inode;
}

/* ---- reading ---- */

int64_t stats_view_started_us(const struct stats_view *view)
{
    return view->trusted.started_us;
}

int stats_view_master_pid(const struct stats_view *view)
{
    return __atomic_load_n(&view->header->master_pid, __ATOMIC_RELAXED); /* another one after an upgrade */
}

const char *stats_view_version(const struct stats_view *view)
{
    return view->trusted.version;
}

struct stat_list stats_view_list(const struct stats_view *view, enum stats_scope scope)
{
    return view->lists[scope];
}

static bool is_as_expected(const struct section *section, const struct section *expected)
{
    return strcmp(section->name, expected->name) == 0 && section->bytes == expected->bytes &&
           section->record_bytes == expected->record_bytes && section->records == expected->records;
}

const void *stats_view_section(const struct stats_view *view, enum stats_section section)
{
    const struct section expected[SECTION_COUNT] = {
#define SECTION(name, bytes, record_bytes, records) {0, bytes, record_bytes, records, #name},
#include "shm/stats_sections.def"
#undef SECTION
    };
    for (int i = 0; i < STATS_SECTIONS_MAX; i++) {
        const struct section *s = &view->trusted.sections[i];
        if (is_as_expected(s, &expected[section]))
            return (const char *)view->header + s->at;
    }
    return NULL;
}

const char *stats_view_conf(const struct stats_view *view)
{
    const char *path = stats_view_section(view, SECTION_conf);
    return path != NULL && memchr(path, '\0', CONF_PATH_BYTES) != NULL ? path : "";
}

/* What has been added is mapped, too; where that fails it is left out. */
int stats_view_slots(struct stats_view *view)
{
    struct stat file;
    uint32_t slots = __atomic_load_n(&view->header->slots, __ATOMIC_ACQUIRE);
    if ((int)slots <= view->slots || slots > STATS_SLOTS_MAX)
        return view->slots;
    size_t bytes = stats_total_bytes(&view->trusted, slots);
    if (fstat(view->fd, &file) != 0 || (uint64_t)file.st_size < bytes)
        return view->slots;
    void *memory = mremap((void *)(uintptr_t)view->header, view->bytes, bytes, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return view->slots;
    view->header = memory;
    view->bytes = bytes;
    view->slots = (int)slots;
    return view->slots;
}

int stats_view_routes(const struct stats_view *view)
{
    int32_t routes = atomic_load_explicit(&view->header->routes, memory_order_acquire);
    return MIN(MAX(routes, 0), (int32_t)view->trusted.routes_max);
}

const char *stats_view_route_name(const struct stats_view *view, int row)
{
    const char *names = (const char *)view->header + view->trusted.names_at, *name = names + row * sizeof(route_name);
    return memchr(name, '\0', sizeof(route_name)) != NULL ? name : "?";
}

static const int64_t *slot_at(const struct stats_view *view, int slot)
{
    CHECK(slot >= STATS_KEEPER && slot < view->slots);
    const char *file = (const char *)view->header;
    uint64_t at = view->trusted.slots_at + (uint64_t)(slot - STATS_KEEPER) * view->trusted.slot_bytes;
    return (const int64_t *)(const void *)(file + at);
}

const struct heavy *stats_view_slot_section(const struct stats_view *view, int slot, enum stats_slot_section section)
{
    const struct section expected[SLOT_SECTION_COUNT] = {
#define SLOT_SECTION(name, bytes, record_bytes, records) {0, bytes, record_bytes, records, #name},
#include "shm/stats_slot_sections.def"
#undef SLOT_SECTION
    };
    for (int i = 0; i < STATS_SLOT_SECTIONS_MAX; i++) {
        const struct section *s = &view->trusted.slot_sections[i];
        if (is_as_expected(s, &expected[section]))
            return (const struct heavy *)(const void *)((const char *)slot_at(view, slot) + s->at);
    }
    return NULL;
}

static const int64_t *rows_at(const struct stats_view *view, int slot)
{
    return slot_at(view, slot) + view->trusted.counts[SCOPE_SLOT];
}

static const struct histogram *hists_at(const struct stats_view *view, int slot)
{
    const struct header *h = &view->trusted;
    return (const struct histogram *)(const void *)(rows_at(view, slot) +
                                                    (uint64_t)h->routes_max * h->counts[SCOPE_ROUTE]);
}

static void check_index(const struct stats_view *view, enum stats_scope scope, int index)
{
    CHECK(index >= 0 && index < (int)view->trusted.counts[scope]);
}

static void check_row(const struct stats_view *view, int row)
{
    CHECK(row >= 0 && row < (int)view->trusted.routes_max);
}

int64_t stats_view_value(const struct stats_view *view, int slot, int index)
{
    check_index(view, SCOPE_SLOT, index);
    return __atomic_load_n(slot_at(view, slot) + index, __ATOMIC_RELAXED);
}

int64_t stats_view_route_value(const struct stats_view *view, int slot, int row, int index)
{
    check_index(view, SCOPE_ROUTE, index);
    check_row(view, row);
    return __atomic_load_n(rows_at(view, slot) + (uint64_t)row * view->trusted.counts[SCOPE_ROUTE] + index,
                           __ATOMIC_RELAXED);
}

static bool add_up(struct histogram *sum, const struct histogram *h)
{
    uint64_t any = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = __atomic_load_n(&h->buckets[i], __ATOMIC_RELAXED);
        sum->buckets[i] += n;
        any |= n;
    }
    return any != 0;
}

bool stats_view_add_hist(const struct stats_view *view, int slot, int index, struct histogram *sum)
{
    check_index(view, SCOPE_HIST, index);
    return add_up(sum, hists_at(view, slot) + index);
}

bool stats_view_add_route_hist(const struct stats_view *view, int slot, int row, int index, struct histogram *sum)
{
    const uint32_t *counts = view->trusted.counts;
    check_index(view, SCOPE_ROUTE_HIST, index);
    check_row(view, row);
    return add_up(sum, hists_at(view, slot) + counts[SCOPE_HIST] + (uint64_t)row * counts[SCOPE_ROUTE_HIST] + index);
}
