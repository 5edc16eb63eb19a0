/* shm/stats_view.h, shm/snapshot.h: a statistics file that somebody else has written, or changes while it is read. The
 * input says in its first byte who reads, then it is a list of changes to a good file, each eight bytes: where it goes
 * (1), whether before the file is opened or after, how wide it is or that the file ends there (1), the offset (2) and
 * the bytes (4). What is not refused is read by snapshots, and by one of those that tell of it: no index leads out of
 * it, no figure of a window is negative, and every text has its end. */
/* links: shm/snapshot.c shm/stats_view.c shm/stats_file.c shm/stats.c shm/histogram.c shm/openmetrics.c */
/* links: shm/slow.c shm/events.c shm/ring.c shm/history.c shm/history_writer.c shm/heavy.c shm/stats_json.c */
#include "common/clock.h"
#include "shm/events.h"
#include "shm/history.h"
#include "shm/openmetrics.h"
#include "shm/slow.h"
#include "shm/stats_json.h"
#include "shm/stats_layout.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 1, ROUTES = 2, CHANGES_MAX = 64 };

struct change {
    uint8_t area, how;
    uint16_t offset;
    uint8_t bytes[4];
};
enum how { AFTER_OPENING = 0x80, CUT = 0x40, WIDTH = 0x03 };

static char path[64], *good;
static size_t good_bytes;
static int file = -1;

/* One with something in every part of it. */
static void fill(struct stats *stats)
{
    int row = stats_route_row(stats, "GET /a");
    stats_set_conf(stats, "/etc/perfd/perfd.conf");
    stats_add(stats, 0, STAT_requests, 7);
    stats_set(stats, 0, STAT_pid, 1234);
    stats_observe(stats, 0, HIST_database, 800);
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, 3);
    stats_route_observe(stats, 0, row, ROUTE_HIST_hit, 70);
    struct slow_query query = {.at_us = 1, .run_us = 2, .has_params = 1, .route = "GET /a"};
    CHECK(slow_param_add(&query, "x") && slow_param_add(&query, NULL));
    CHECK(slow_add(stats_slow(stats), 0, &query) != 0);
    event_note(stats_events(stats), 0, EVENT_started, 0, 1, "started");
    for (int i = 0; i < SLOT_SECTION_COUNT; i++)
        heavy_add(stats_slot_section(stats, 0, (enum stats_slot_section)i), 0, row, SLICE("/a/1"), 5);
    struct history_writer *writer = history_writer_create(stats, 0);
    for (int64_t minute = 1; minute <= 3; minute++)
        history_step(writer, minute * 60 * US_PER_S, (minute + 100) * 60 * US_PER_S);
    history_writer_destroy(&writer);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err;
    (void)argc, (void)argv;
    snprintf(path, sizeof path, "/tmp/perfd-fuzz-stats.%d", getpid());
    struct stats *stats = stats_create(path, SLOTS, ROUTES, &err);
    CHECK(stats != NULL);
    fill(stats);
    good_bytes = (size_t)stats_total_bytes(stats->header, SLOTS);
    good = xmalloc(good_bytes);
    memcpy(good, stats->header, good_bytes);
    stats_close(&stats);
    unlink(path);
    file = memfd_create("perfd.stats", MFD_CLOEXEC);
    CHECK(file >= 0 && write(file, good, good_bytes) == (ssize_t)good_bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return 0;
}

/* Where a change goes, and the end of its area: all that the file has once, and what the worker's slot has. */
static size_t place_of(const struct change *c, size_t *end_out)
{
    const struct header *h = (const struct header *)(const void *)good;
    const size_t slot = h->slots_at + h->slot_bytes; /* behind the keeper's */
    const struct section *once = h->sections, *of_slot = h->slot_sections;
    const struct {
        size_t at, bytes;
    } areas[] = {{0, h->descriptions_at},
                 {h->descriptions_at, h->names_at - h->descriptions_at},
                 {h->names_at, h->routes_max * sizeof(route_name)},
#define SECTION(name, ...) {once[SECTION_##name].at, once[SECTION_##name].bytes},
#include "shm/stats_sections.def"
#undef SECTION
#define SLOT_SECTION(name, ...) {slot + of_slot[SLOT_SECTION_##name].at, of_slot[SLOT_SECTION_##name].bytes},
#include "shm/stats_slot_sections.def"
#undef SLOT_SECTION
                 {h->slots_at, stats_metrics_bytes(h->counts, h->routes_max)},
                 {slot, stats_metrics_bytes(h->counts, h->routes_max)}};
    size_t i = c->area % ARRAY_LEN(areas), bytes = areas[i].bytes;
    *end_out = areas[i].at + bytes;
    return areas[i].at + (bytes <= UINT16_MAX ? c->offset % bytes : c->offset * bytes / (UINT16_MAX + 1));
}

static size_t apply(const struct change *changes, int count, bool after_opening)
{
    size_t size = good_bytes;
    for (int i = 0; i < count; i++) {
        size_t end, at = place_of(&changes[i], &end);
        bool later = (changes[i].how & AFTER_OPENING) != 0;
        if (!later && (changes[i].how & CUT)) /* after it was opened that is a SIGBUS, as the header says */
            size = MIN(size, at);
        else if (later == after_opening)
            CHECK(pwrite(file, changes[i].bytes, MIN((size_t)(changes[i].how & WIDTH) + 1, end - at), (off_t)at) > 0);
    }
    return size;
}

static void restore(const struct change *changes, int count)
{
    CHECK(ftruncate(file, (off_t)good_bytes) == 0);
    for (int i = 0; i < count; i++) {
        size_t end, at = place_of(&changes[i], &end);
        size_t bytes = changes[i].how & CUT ? good_bytes - at : MIN((size_t)4, good_bytes - at);
        CHECK(pwrite(file, good + at, bytes, (off_t)at) == (ssize_t)bytes);
    }
}

/* ---- who reads ---- */

static bool ends_with(const struct buf *text, const char *end)
{
    size_t len = strlen(end);
    return text->len >= len && memcmp(text->at + text->len - len, end, len) == 0;
}

static void read_as_openmetrics(const struct snapshot *s, struct stats_view *view)
{
    struct buf text = {0};
    (void)view;
    openmetrics_write(&text, s);
    CHECK(ends_with(&text, "# EOF\n"));
    buf_deinit(&text);
}

static void read_as_json(const struct snapshot *s, struct stats_view *view)
{
    struct buf text = {0};
    stats_json_write(&text, s, view);
    CHECK(ends_with(&text, "}\n") && is_utf8(buf_slice(&text)));
    text.len = 0;
    stats_json_write_history(&text, view);
    CHECK(ends_with(&text, "]}\n") && is_utf8(buf_slice(&text)));
    buf_deinit(&text);
}

static void read_slow(const struct ring *slow)
{
    static struct slow_query queries[SLOW_ENTRIES];
    const char *values[64];
    for (int i = slow_read(slow, queries); i-- > 0;) {
        int count = slow_params(&queries[i], values, ARRAY_LEN(values));
        CHECK(count >= 0 && count <= (int)ARRAY_LEN(values));
        for (int k = 0; k < count; k++)
            CHECK(values[k] == NULL || strlen(values[k]) < SLOW_PARAMS_BYTES);
        CHECK(strlen(queries[i].route) < SLOW_ROUTE_BYTES && strlen(queries[i].state) < sizeof queries[i].state);
    }
}

static void read_rings(const struct snapshot *s, struct stats_view *view)
{
    static struct event events[EVENTS];
    const struct ring *slow = stats_view_section(view, SECTION_slow),
                      *happened = stats_view_section(view, SECTION_events);
    (void)s;
    if (slow != NULL)
        read_slow(slow);
    for (int i = happened != NULL ? events_read(happened, events) : 0; i-- > 0;)
        CHECK(strlen(events[i].text) < EVENT_TEXT_BYTES);
    CHECK(strlen(stats_view_conf(view)) < CONF_PATH_BYTES);
}

static void read_history(const struct snapshot *s, struct stats_view *view)
{
    struct history_point points[HISTORY_POINTS];
    (void)s;
    for (int scale = 0; scale < HISTORY_SCALES; scale++) {
        int count = history_read(view, (enum history_scale)scale, points);
        CHECK(count >= -1 && count <= HISTORY_POINTS);
        for (int i = 0; i < count; i++)
            CHECK(points[i].span_us > 0 && points[i].requests >= 0 && points[i].cpu_us >= 0);
    }
}

static void read_heavy(const struct snapshot *s, struct stats_view *view)
{
    (void)view;
    for (int what = 0; what < SLOT_SECTION_COUNT; what++) {
        struct heavy_list *list = snapshot_heavy(s, (enum stats_slot_section)what);
        for (int i = 0; list != NULL && i < list->count; i++)
            CHECK(list->items[i].row >= 0 && strlen(list->items[i].text) < HEAVY_TEXT_BYTES);
        CHECK(list == NULL || list->count <= (s->slots - STATS_KEEPER) * HEAVY_ENTRIES);
        free(list);
    }
}

static void (*const readers[])(const struct snapshot *s, struct stats_view *view) = {
    read_as_openmetrics, read_rings, read_as_json, read_history, read_heavy};

static void read_window(const struct snapshot *earlier, const struct snapshot *later, struct stats_view *view,
                        int reader)
{
    struct err err = {""};
    struct snapshot *window = snapshot_between(earlier, later, &err);
    if (window == NULL) {
        CHECK(err.text[0] != '\0');
        return;
    }
    for (int slot = STATS_KEEPER; slot < window->slots; slot++)
        for (int i = 0; i < window->lists[SCOPE_SLOT].count; i++)
            CHECK(!window->lists[SCOPE_SLOT].infos[i].counter || snapshot_get_at(window, slot, i) >= 0);
    readers[reader](window, view);
    snapshot_destroy(&window);
}

static void read_whole(struct stats_view *view, const struct change *changes, int count, int reader)
{
    struct snapshot *before = snapshot_take(view, 1000);
    (void)apply(changes, count, true);
    struct snapshot *after = snapshot_take(view, 2000);
    read_window(before, after, view, reader);
    for (int i = 0; i < STAT_COUNT; i++)
        (void)snapshot_sum(after, (enum metric)i);
    CHECK(strlen(after->version) < sizeof after->version);
    snapshot_destroy(&before);
    snapshot_destroy(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct change changes[CHANGES_MAX];
    struct err err = {""};
    if (size == 0)
        return 0;
    int count = (int)MIN((size - 1) / sizeof *changes, ARRAY_LEN(changes));
    memcpy(changes, data + 1, (size_t)count * sizeof *changes);
    CHECK(ftruncate(file, (off_t)apply(changes, count, false)) == 0);
    struct stats_view *view = stats_view_open(path, &err);
    if (view != NULL)
        read_whole(view, changes, count, data[0] % (int)ARRAY_LEN(readers));
    else
        CHECK(strncmp(err.text, path, strlen(path)) == 0 && strlen(err.text) > strlen(path) + 2);
    stats_view_close(&view);
    restore(changes, count);
    return 0;
}
