#include "shm/stats_json.h"
#include "common/json_scan.h"
#include "common/json_write.h"
#include "shm/events.h"
#include "shm/history.h"
#include "shm/slow.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TEXT_BYTES = EVENT_TEXT_BYTES };

/* ---- JSON ---- */

static void separate(struct buf *out)
{
    char last = out->len > 0 ? out->at[out->len - 1] : '{';
    if (last != '{' && last != '[' && last != ':')
        buf_addc(out, ',');
}

/* An object or array as a member, or as an element where name is NULL. */
static void open_with(struct buf *out, const char *name, char bracket)
{
    if (name != NULL)
        json_write_key(out, name);
    else
        separate(out);
    buf_addc(out, bracket);
}

static void put_int(struct buf *out, const char *name, int64_t value)
{
    json_write_key(out, name);
    json_write_int(out, value);
}

static void put_null(struct buf *out, const char *name)
{
    json_write_key(out, name);
    buf_adds(out, "null");
}

/* Quantiles are -1 where there are none. */
static void put_us(struct buf *out, const char *name, int64_t us)
{
    if (us < 0)
        put_null(out, name);
    else
        put_int(out, name, us);
}

/* Texts of fixed length may end within a character. */
static void put_text(struct buf *out, const char *name, const char *text, size_t room)
{
    char copy[TEXT_BYTES];
    size_t len = strnlen(text, MIN(room, sizeof copy));
    memcpy(copy, text, len);
    for (ptrdiff_t bad; (bad = utf8_check(slice_of(copy, len))) >= 0;)
        copy[bad] = '?';
    json_write_key(out, name);
    json_write_string(out, slice_of(copy, len));
}

/* ---- histograms ---- */

/* le_us: the largest value that falls into each bucket that is not empty. */
static void put_buckets(struct buf *out, const struct histogram *h)
{
    open_with(out, "le_us", '[');
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0) {
            separate(out);
            json_write_int(out, histogram_upper_us(i));
        }
    buf_addc(out, ']');
    open_with(out, "counts", '[');
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i] > 0) {
            separate(out);
            json_write_int(out, (int64_t)h->buckets[i]);
        }
    buf_addc(out, ']');
}

static void put_quantiles(struct buf *out, const struct histogram *h)
{
    put_int(out, "count", (int64_t)histogram_count(h));
    put_us(out, "p50_us", histogram_quantile_us(h, 0.50));
    put_us(out, "p95_us", histogram_quantile_us(h, 0.95));
    put_us(out, "p99_us", histogram_quantile_us(h, 0.99));
    put_us(out, "p999_us", histogram_quantile_us(h, 0.999));
    put_us(out, "max_us", histogram_quantile_us(h, 1));
}

static void put_histogram(struct buf *out, const char *name, const struct histogram *h)
{
    open_with(out, name, '{');
    put_quantiles(out, h);
    put_buckets(out, h);
    buf_addc(out, '}');
}

/* ---- figures ---- */

static void put_totals(struct buf *out, const struct snapshot *s)
{
    struct histogram h;
    const struct stat_list *stats = &s->lists[SCOPE_SLOT], *hists = &s->lists[SCOPE_HIST];
    open_with(out, "metrics", '{');
    for (int i = 0; i < stats->count; i++)
        put_int(out, stats->infos[i].name, snapshot_sum_at(s, i));
    buf_addc(out, '}');
    open_with(out, "histograms", '{');
    for (int i = 0; i < hists->count; i++) {
        snapshot_hist_at(s, i, &h);
        put_histogram(out, hists->infos[i].name, &h);
    }
    buf_addc(out, '}');
}

static void put_slot(struct buf *out, const struct snapshot *s, int slot)
{
    const struct stat_list *stats = &s->lists[SCOPE_SLOT];
    open_with(out, NULL, '{');
    put_int(out, "slot", slot);
    for (int i = 0; i < stats->count; i++) {
        int64_t value = snapshot_get_at(s, slot, i);
        if (value != 0)
            put_int(out, stats->infos[i].name, value);
    }
    buf_addc(out, '}');
}

static void put_route(struct buf *out, const struct snapshot *s, int row)
{
    struct histogram all = {{0}};
    const struct stat_list *stats = &s->lists[SCOPE_ROUTE], *hists = &s->lists[SCOPE_ROUTE_HIST];
    open_with(out, NULL, '{');
    put_text(out, "route", s->names[row], sizeof s->names[row]);
    for (int i = 0; i < stats->count; i++)
        put_int(out, stats->infos[i].name, snapshot_route_at(s, row, i));
    for (int i = 0; i < hists->count; i++)
        histogram_add(&all, snapshot_route_hist_at(s, row, i));
    put_quantiles(out, &all);
    for (int i = 0; i < hists->count; i++)
        put_histogram(out, hists->infos[i].name, snapshot_route_hist_at(s, row, i));
    buf_addc(out, '}');
}

/* As `perfctl routes` has them: row 0, of what found no row of its own, comes last. */
static void put_routes(struct buf *out, const struct snapshot *s)
{
    open_with(out, "routes", '[');
    for (int i = 1; i <= s->routes; i++)
        put_route(out, s, i % s->routes);
    buf_addc(out, ']');
}

/* ---- rings ---- */

static void put_query(struct buf *out, const struct slow_query *q)
{
    open_with(out, NULL, '{');
    put_int(out, "number", (int64_t)q->number);
    put_int(out, "at_us", q->at_us);
    put_int(out, "slot", q->slot);
    put_text(out, "route", q->route, sizeof q->route);
    put_int(out, "run_us", q->run_us);
    put_int(out, "wait_us", q->wait_us);
    put_int(out, "rows", q->rows);
    if (q->state[0] != '\0')
        put_text(out, "state", q->state, sizeof q->state);
    else
        put_null(out, "state");
    json_write_key(out, "fingerprint");
    buf_printf(out, "\"%016" PRIx64 "\"}", q->fingerprint);
}

static void put_slow(struct buf *out, const struct ring *ring)
{
    struct slow_query *queries = xcalloc(SLOW_ENTRIES, sizeof *queries);
    int count = ring != NULL ? slow_read(ring, queries) : 0;
    open_with(out, "slow", '[');
    for (int i = 0; i < MIN(count, (int)STATS_JSON_SLOW); i++)
        put_query(out, &queries[i]);
    buf_addc(out, ']');
    free(queries);
}

static void put_event(struct buf *out, const struct event *e)
{
    bool known = e->kind >= 0 && e->kind < EVENT_KINDS;
    open_with(out, NULL, '{');
    put_int(out, "number", (int64_t)e->number);
    put_int(out, "at_us", e->at_us);
    put_text(out, "kind", known ? event_names[e->kind] : "?", TEXT_BYTES);
    if (e->slot == EVENT_NO_SLOT)
        put_null(out, "slot");
    else
        put_int(out, "slot", e->slot);
    if (e->pid == 0)
        put_null(out, "pid");
    else
        put_int(out, "pid", e->pid);
    put_text(out, "text", e->text, sizeof e->text);
    buf_addc(out, '}');
}

static void put_events(struct buf *out, const struct ring *ring)
{
    struct event *events = xcalloc(EVENTS, sizeof *events);
    int count = ring != NULL ? events_read(ring, events) : 0;
    open_with(out, "events", '[');
    for (int i = 0; i < MIN(count, (int)STATS_JSON_EVENTS); i++)
        put_event(out, &events[i]);
    buf_addc(out, ']');
    free(events);
}

void stats_json_write(struct buf *out, const struct snapshot *s, const struct stats_view *view)
{
    buf_adds(out, "{\"schema\":\"perfd.stats/1\"");
    put_text(out, "version", s->version, sizeof s->version);
    put_int(out, "master_pid", s->master_pid);
    put_int(out, "since_us", s->started_us);
    put_int(out, "at_us", s->at_us);
    put_int(out, "span_us", s->span_us);
    put_totals(out, s);
    open_with(out, "slots", '[');
    for (int slot = STATS_KEEPER; slot < s->slots; slot++)
        put_slot(out, s, slot);
    buf_addc(out, ']');
    put_routes(out, s);
    put_slow(out, stats_view_section(view, SECTION_slow));
    put_events(out, stats_view_section(view, SECTION_events));
    buf_adds(out, "}\n");
}

/* ---- history ---- */

static void put_point(struct buf *out, const struct history_point *p)
{
    open_with(out, NULL, '{');
    put_int(out, "at_us", p->at_us);
    put_int(out, "span_us", p->span_us);
#define HISTORY_COUNT(name, ...) put_int(out, #name, p->name);
#define HISTORY_SPENT HISTORY_COUNT
#define HISTORY_LEVEL HISTORY_COUNT
#define HISTORY_QUANTILE(name, ...) put_us(out, #name, p->name);
#include "shm/history.def"
    buf_addc(out, '}');
}

void stats_json_write_history(struct buf *out, const struct stats_view *view)
{
    static const char *const names[HISTORY_SCALES] = {[HISTORY_SECONDS] = "seconds", [HISTORY_MINUTES] = "minutes"};
    struct history_point *points = xcalloc(HISTORY_POINTS, sizeof *points);
    buf_adds(out, "{\"schema\":\"perfd.history/1\"");
    put_int(out, "since_us", stats_view_started_us(view));
    for (int scale = 0; scale < HISTORY_SCALES; scale++) {
        int count = history_read(view, (enum history_scale)scale, points);
        open_with(out, names[scale], '[');
        for (int i = 0; i < count; i++)
            put_point(out, &points[i]);
        buf_addc(out, ']');
    }
    buf_adds(out, "}\n");
    free(points);
}
