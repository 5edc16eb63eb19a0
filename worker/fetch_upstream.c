#include "common/clock.h"
#include "worker/fetch_state.h"
#include "worker/reply.h"
#include "worker/upstream_call.h"

/* How long an answer of this status may be kept by the route's own times; 0: not at all. */
static int64_t life_us(const struct conf_route *conf, int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 301:
    case 308:
        return conf->cache_ttl_us;
    case 404:
    case 410:
        return conf->cache_negative_us;
    default:
        return 0;
    }
}

static bool is_shared(const struct fetch *f)
{
    return f->r->route->conf->cached && !f->r->personal;
}

static void on_failed(struct fetch *f)
{
    int status = f->r->problem.status;
    /* 503 is this worker's own: its queue, its breaker. */
    fetch_finish_flight(f, status != 503 ? FLIGHT_ERROR : FLIGHT_NONE, status);
    fetch_answer_failure(f, is_shared(f) ? SOURCE_MISS : SOURCE_NONE);
}

static void fill_entry(struct fetch *f, const struct upstream_answer *answer, struct slice body, int64_t now_us,
                       struct cache_entry *entry)
{
    *entry = (struct cache_entry){.body = body,
                                  .head = answer->head,
                                  .own_head = !slice_is(answer->head, REPLY_JSON_HEAD),
                                  .created_us = now_us,
                                  .fresh_until_us = now_us + fetch_jittered(life_us(f->r->route->conf, answer->status)),
                                  .born_seq = f->born_seq,
                                  .cost_us = now_us - f->began_us,
                                  .tag_count = f->lookup.tag_count,
                                  .status = answer->status};
    memcpy(entry->tag_slots, f->lookup.tag_slots, sizeof entry->tag_slots);
    reply_etag(body, entry->own_head ? answer->head : slice_of("", 0), entry->etag);
}

/* An old answer is better than an upstream's error. */
static bool answers_spare(struct fetch *f, int status)
{
    return status >= 500 && is_shared(f) && !f->refreshes && fetch_answer_spare(f);
}

static void on_answer(void *arg, const struct upstream_outcome *outcome)
{
    struct fetch *f = arg;
    struct upstream_answer answer;
    struct cache_entry entry;
    int64_t now_us = clock_mono_us();
    if (!upstream_call_answer(f->r, outcome, &answer)) {
        on_failed(f);
        return;
    }
    fill_entry(f, &answer, outcome->body, now_us, &entry);
    bool kept =
        is_shared(f) && !answer.personal && entry.fresh_until_us > now_us && entry.head.len <= CACHE_OWN_HEAD_BYTES;
    if (kept) {
        fetch_take(f, &entry, now_us);
        return;
    }
    fetch_finish_flight(f, answer.status >= 500 ? FLIGHT_ERROR : FLIGHT_NONE, answer.status);
    if (!answers_spare(f, answer.status))
        fetch_answer(f, is_shared(f) ? SOURCE_MISS : SOURCE_NONE, &entry, false, now_us);
}

/* What may be kept is fetched to its end: others wait for it, or soon ask for it. */
static void on_gone(void *arg)
{
    struct fetch *f = arg;
    upstream_forget(f->upstream_job);
    fetch_fail(f, SOURCE_NONE, 503, "gone", NULL);
}

void fetch_from_upstream(struct fetch *f)
{
    f->upstream_job = upstream_call_run(f->r, on_answer, f);
    if (is_shared(f) && !f->keeps_out)
        return;
    f->r->http->gone = on_gone;
    f->r->http->handler_arg = f;
}
