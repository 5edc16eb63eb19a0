/* shm/stats_view.h, shm/snapshot.h: a statistics file that somebody else has written, or changes while it is read. The
 * input is a list of changes to a good file, each eight bytes: where it goes (1), whether before the file is opened or
 * after, how wide it is or that the file ends there (1), the offset (2) and the bytes (4). What is not refused is read
 * whole: no index leads out of it, no figure of a window is negative, and as OpenMetrics it has its end. */
/* links: shm/snapshot.c shm/stats_view.c shm/stats_file.c shm/stats.c shm/histogram.c shm/openmetrics.c */
/* links: shm/slow.c shm/events.c shm/ring.c shm/history.c shm/heavy.c */
#include "shm/events.h"
#include "shm/openmetrics.h"
#include "shm/slow.h"
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

/* Where an area begins, and how much a change may change of it. */
static size_t place_of(const struct change *c, size_t *end_out)
{
    const struct header *h = (const struct header *)(const void *)good;
    const size_t areas[] = {
        0,           h->descriptions_at, h->names_at, h->sections[SECTION_slow].at, h->sections[SECTION_events].at,
        h->slots_at, good_bytes};
    size_t area = c->area % (ARRAY_LEN(areas) - 1);
    *end_out = areas[area + 1];
    return areas[area] + c->offset % (areas[area + 1] - areas[area]);
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
        size_t end, at = place_of(&changes[i], &end), from = changes[i].how & CUT ? at : at;
        size_t bytes = changes[i].how & CUT ? good_bytes - from : MIN((size_t)4, good_bytes - from);
        CHECK(pwrite(file, good + from, bytes, (off_t)from) == (ssize_t)bytes);
    }
}

static void check_window(const struct snapshot *earlier, const struct snapshot *later)
{
    struct err err = {""};
    struct buf text = {0};
    struct snapshot *window = snapshot_between(earlier, later, &err);
    if (window == NULL) {
        CHECK(err.text[0] != '\0');
        return;
    }
    for (int slot = STATS_KEEPER; slot < window->slots; slot++)
        for (int i = 0; i < window->lists[SCOPE_SLOT].count; i++)
            CHECK(!window->lists[SCOPE_SLOT].infos[i].counter || snapshot_get_at(window, slot, i) >= 0);
    openmetrics_write(&text, window);
    CHECK(text.len >= 6 && memcmp(text.at + text.len - 6, "# EOF\n", 6) == 0);
    buf_deinit(&text);
    snapshot_destroy(&window);
}

static void read_rings(const struct stats_view *view)
{
    static struct slow_query queries[SLOW_ENTRIES];
    static struct event events[EVENTS];
    const char *values[64];
    const struct ring *slow = stats_view_section(view, SECTION_slow),
                      *happened = stats_view_section(view, SECTION_events);
    for (int i = slow != NULL ? slow_read(slow, queries) : 0; i-- > 0;) {
        int count = slow_params(&queries[i], values, ARRAY_LEN(values));
        CHECK(count >= 0 && count <= (int)ARRAY_LEN(values));
        for (int k = 0; k < count; k++)
            CHECK(values[k] == NULL || strlen(values[k]) < SLOW_PARAMS_BYTES);
        CHECK(strlen(queries[i].route) < SLOW_ROUTE_BYTES && strlen(queries[i].state) < sizeof queries[i].state);
    }
    for (int i = happened != NULL ? events_read(happened, events) : 0; i-- > 0;)
        CHECK(strlen(events[i].text) < EVENT_TEXT_BYTES);
    CHECK(strlen(stats_view_conf(view)) < CONF_PATH_BYTES);
}

static void read_whole(struct stats_view *view, const struct change *changes, int count)
{
    struct snapshot *before = snapshot_take(view, 1000);
    (void)apply(changes, count, true);
    struct snapshot *after = snapshot_take(view, 2000);
    check_window(before, after);
    read_rings(view);
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
    int count = (int)MIN(size / sizeof *changes, ARRAY_LEN(changes));
    memcpy(changes, data, (size_t)count * sizeof *changes);
    CHECK(ftruncate(file, (off_t)apply(changes, count, false)) == 0);
    struct stats_view *view = stats_view_open(path, &err);
    if (view != NULL)
        read_whole(view, changes, count);
    else
        CHECK(strncmp(err.text, path, strlen(path)) == 0 && strlen(err.text) > strlen(path) + 2);
    stats_view_close(&view);
    restore(changes, count);
    return 0;
}
