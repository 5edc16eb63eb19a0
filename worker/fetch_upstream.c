#include "common/clock.h"
#include "worker/fetch_state.h"
#include "worker/field_lines.h"
#include "worker/freshness.h"
#include "worker/reply.h"

static void ask(struct fetch *f);

static bool is_cached(const struct fetch *f)
{
    return f->r->route->conf->cached;
}

static enum source source_of(const struct fetch *f)
{
    return is_cached(f) ? SOURCE_MISS : SOURCE_NONE;
}

/* What was asked with credentials tells nothing of what others would get. */
static void fail_flight(struct fetch *f, int status)
{
    fetch_finish_flight(f, f->r->personal ? FLIGHT_NONE : FLIGHT_ERROR, fetch_ran_out(f) ? FETCH_RAN_OUT : status);
}

static void on_failed(struct fetch *f)
{
    int status = f->r->problem.status;
    if (status == 503) /* this worker's own: its queue, its breaker */
        fetch_finish_flight(f, FLIGHT_NONE, 0);
    else
        fail_flight(f, status);
    fetch_answer_failure(f, source_of(f));
}

/* ---- what an answer is worth ---- */

/* Of the upstream's header fields, and of its notes with a 304's. */
static struct freshness judge(const struct fetch *f, int status, struct slice fields)
{
    const struct conf_route *conf = f->r->route->conf;
    const struct freshness_answer answer = {.status = status,
                                            .fields = fields,
                                            .with_credentials = f->r->personal,
                                            .wall_us = clock_wall_us(),
                                            .delay_us = MAX(f->r->run_us, INT64_C(0))};
    const struct freshness_rules rules = {.ttl_us = conf->cache_ttl_us,
                                          .negative_us = conf->cache_negative_us,
                                          .heuristic_us = f->r->service->conf->cache.ttl_us,
                                          .stale_us = conf->cache_stale_us,
                                          .stale_if_error_us = conf->cache_stale_if_error_us};
    return freshness_of(&answer, &rules, f->r->arena);
}

/* What a later answer may update, and what tells that one from this. Age and Date are of one answer. */
static struct slice notes_of(const struct fetch *f, const struct freshness *fresh, struct slice fields)
{
    static const char *const names[] = {"Cache-Control", "ETag", "Expires", "Last-Modified", "Vary", NULL};
    const struct notes notes = {.shareable = fresh->shareable,
                                .age_us = fresh->age_us,
                                .stale_us = fresh->stale_us,
                                .stale_if_error_us = fresh->stale_if_error_us,
                                .fields = field_lines_only(fields, names, f->r->arena)};
    return notes_write(&notes, f->r->arena);
}

static void note(const struct fetch *f, const struct freshness *fresh, struct slice fields, int64_t now_us,
                 struct cache_entry *entry)
{
    entry->notes = notes_of(f, fresh, fields);
    entry->created_us = now_us;
    entry->fresh_until_us = now_us + freshness_spread_us(fresh->fresh_us, fetch_uniform());
    entry->born_seq = f->born_seq;
    entry->cost_us = now_us - f->began_us;
    entry->tag_count = f->lookup.tag_count;
    memcpy(entry->tag_slots, f->lookup.tag_slots, sizeof entry->tag_slots);
}

/* RFC 5861 4. */
static bool is_failure(int status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

/* What must not be kept is fetched by each alone from now on; the upstream's own trouble, and what was asked with
 * credentials, tell nothing of what others would get. */
static void leave(struct fetch *f, int status, int64_t now_us)
{
    if (is_cached(f) && status < 500 && !f->r->personal)
        lookup_mark_uncacheable(&f->lookup, f->born_seq, now_us);
    if (status >= 500)
        fail_flight(f, status);
    else
        fetch_finish_flight(f, FLIGHT_NONE, 0);
}

/* head: for this consumer, who may get more than the others. */
static void finish(struct fetch *f, struct cache_entry *entry, const struct freshness *fresh, struct slice fields,
                   struct slice head, int64_t now_us)
{
    struct slice vary = field_lines_list(fields, "Vary", f->r->arena);
    f->r->origin.unkept = fresh->forbidden;
    note(f, fresh, fields, now_us, entry);
    if (is_cached(f) && fresh->storable && lookup_kept_place(&f->lookup, vary, f->born_seq, now_us))
        fetch_keep(f, entry, now_us);
    else
        leave(f, entry->status, now_us);
    entry->head = head;
    fetch_answer(f, source_of(f), entry, false, now_us);
}

/* ---- 304 ---- */

static bool same(struct slice fields, const char *name, struct slice value)
{
    struct slice found = field_lines_find(fields, name);
    return (found.at == NULL) == (value.at == NULL) && slice_eq(found, value);
}

static struct slice opaque(struct slice etag)
{
    return etag.len > 2 && slice_begins(etag, SLICE("W/")) ? slice_of(etag.at + 2, etag.len - 2) : etag;
}

/* It is about what was asked about, and that is what is kept still (RFC 9111 4.3.4). */
static bool is_about(const struct fetch *f, const struct notes *notes, struct slice said)
{
    struct slice etag = field_lines_find(said, "ETag");
    return same(notes->fields, "ETag", f->conditions.etag) &&
           same(notes->fields, "Last-Modified", f->conditions.modified) &&
           (etag.at == NULL || slice_eq(opaque(etag), opaque(f->conditions.etag)));
}

/* False: what it is about is not here any more, or is not what was asked about. */
static bool take_confirmed(struct fetch *f, const struct upstream_outcome *outcome)
{
    struct cache_entry kept;
    struct notes notes;
    struct upstream_answer said;
    int64_t now_us = clock_mono_us();
    struct arena *arena = f->r->arena;
    upstream_call_read(f->r, outcome, &said);
    if (!lookup_kept(&f->lookup, now_us, &kept, &notes))
        return false;
    struct cache_entry entry = kept;
    bool about = !kept.uncacheable && is_about(f, &notes, said.fields);
    if (about) {
        struct slice fields = field_lines_update(notes.fields, said.fields, arena);
        struct freshness fresh = judge(f, kept.status, fields);
        struct slice head = field_lines_update(kept.head, said.head, arena);
        entry.head = field_lines_update(kept.head, said.kept_head, arena);
        service_count(f->r->service, STAT_upstream_confirmed);
        finish(f, &entry, &fresh, fields, head, now_us);
    }
    cache_release(&kept);
    return about;
}

static void look_for_conditions(struct fetch *f)
{
    struct cache_entry kept;
    struct notes notes;
    f->conditions = (struct upstream_conditions){0};
    if (!is_cached(f) || f->asks_plainly || !lookup_kept(&f->lookup, clock_mono_us(), &kept, &notes))
        return;
    struct slice etag = field_lines_find(notes.fields, "ETag");
    struct slice modified = field_lines_find(notes.fields, "Last-Modified");
    if (etag.at != NULL)
        f->conditions.etag = arena_copy(f->r->arena, etag);
    if (modified.at != NULL)
        f->conditions.modified = arena_copy(f->r->arena, modified);
    cache_release(&kept);
}

/* ---- asking ---- */

static void take_answer(struct fetch *f, const struct upstream_answer *answer, struct slice body)
{
    struct freshness fresh = judge(f, answer->status, answer->fields);
    struct cache_entry entry = {.status = answer->status,
                                .body = body,
                                .head = answer->kept_head,
                                .own_head = !slice_is(answer->kept_head, REPLY_JSON_HEAD)};
    reply_etag(body, entry.own_head ? entry.head : slice_of("", 0), entry.etag);
    finish(f, &entry, &fresh, answer->fields, answer->head, clock_mono_us());
}

/* True: answered. An old answer is better than an upstream's error, and stays where it is. */
static bool answers_spare(struct fetch *f, int status)
{
    if (!is_cached(f) || !is_failure(status))
        return false;
    fail_flight(f, status);
    return fetch_answer_spare(f);
}

static void on_answer(void *arg, const struct upstream_outcome *outcome)
{
    struct fetch *f = arg;
    struct upstream_answer answer;
    bool asked = f->conditions.etag.at != NULL || f->conditions.modified.at != NULL;
    if (asked && outcome->fail == UPSTREAM_OK && outcome->status == 304) {
        if (!take_confirmed(f, outcome)) {
            f->asks_plainly = true;
            ask(f);
        }
    } else if (!upstream_call_answer(f->r, outcome, &answer)) {
        on_failed(f);
    } else if (!answers_spare(f, answer.status)) {
        take_answer(f, &answer, outcome->body);
    }
}

/* What may be kept is fetched to its end: others wait for it, or soon ask for it. */
static void on_gone(void *arg)
{
    struct fetch *f = arg;
    upstream_forget(f->upstream_job);
    fetch_fail(f, SOURCE_NONE, 503, "gone", NULL);
}

static void ask(struct fetch *f)
{
    look_for_conditions(f);
    f->upstream_job = upstream_call_run(f->r, &f->conditions, on_answer, f);
}

void fetch_from_upstream(struct fetch *f)
{
    ask(f);
    if (f->refreshes || (is_cached(f) && !f->keeps_out && !f->r->personal))
        return;
    f->r->http->gone = on_gone;
    f->r->http->handler_arg = f;
}
