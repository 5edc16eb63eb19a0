#include "worker/write.h"
#include "common/clock.h"
#include "shm/fault.h"
#include "shm/tags.h"
#include "worker/permit.h"
#include "worker/rate.h"
#include "worker/redis.h"
#include "worker/reply.h"
#include "worker/rows.h"
#include "worker/upstream_call.h"
#include "worker/upstream_uri.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* A connection that broke under a write, or one that was given up: the server may yet commit it, at the latest when its
 * own statement time-out is over. Of an upstream it is not known; as long is allowed for. */
#define COMMITTED_BY_US US_PER_S
/* The one that an upstream is asked for, and two that it may name. */
enum { UPSTREAM_URIS = 3 };

struct write {
    struct request *r; /* NULL: answered */
    struct service *service;
    struct buf body;
    int status;
    struct slice head; /* in the request's arena, or a literal */
    bool answered;     /* by body, status and head; else r->problem */
    bool doubtful;     /* dropped now, and once more when it cannot be committed any more */
    int64_t timeout_us;
    uint32_t *slots;
    int slot_count;
    struct event late;
};

static void answer(struct write *w)
{
    struct request *r = w->r;
    const struct answer answer = {
        .status = w->status, .body = buf_slice(&w->body), .head = w->head, .age_us = -1, .once = true};
    w->r = NULL;
    if (w->answered)
        reply_answer(r, &answer);
    else
        reply_problem(r);
    buf_deinit(&w->body);
}

static void end(struct write *w)
{
    if (w->slot_count > 0)
        board_write_end(w->service->shared->board, w->service->proc);
    free(w->slots);
    free(w);
}

static void drop_tags(struct write *w);

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct write *w = arg;
    w->doubtful = false;
    drop_tags(w);
}

/* Redis first: a fetch that begins after the local tags were raised must not find the old answer there. */
static void redis_told(void *arg)
{
    struct write *w = arg;
    struct service *s = w->service;
    FAULT(write_redis_told);
    if (!MUTANT(invalidate_first) && !MUTANT(local_first))
        tags_raise(s->shared->tags, w->slots, w->slot_count);
    FAULT(write_raised);
    stats_add(s->stats, s->slot, STAT_invalidations, w->slot_count);
    if (w->r != NULL)
        answer(w);
    if (!w->doubtful) {
        end(w);
        return;
    }
    int64_t after_us = w->timeout_us + COMMITTED_BY_US;
    struct timeval tv = {after_us / US_PER_S, after_us % US_PER_S};
    event_assign(&w->late, s->base, -1, 0, on_late, w);
    event_add(&w->late, &tv);
}

static void drop_tags(struct write *w)
{
    FAULT(write_committed);
    if (MUTANT(local_first)) {
        tags_raise(w->service->shared->tags, w->slots, w->slot_count);
        FAULT(write_raised);
    }
    if (w->service->redis != NULL)
        redis_invalidate(w->service->redis, w->slots, w->slot_count, true, redis_told, w);
    else
        redis_told(w);
}

/* done: something has changed. */
static void finish(struct write *w, bool done)
{
    if (w->slot_count > 0 && (done || w->doubtful)) {
        drop_tags(w);
        return;
    }
    answer(w);
    end(w);
}

static void on_rows(void *arg, const struct pool_outcome *outcome)
{
    struct write *w = arg;
    w->doubtful = (outcome->fail == POOL_DOWN || outcome->fail == POOL_TIMEOUT) && outcome->run_us > 0;
    w->answered = rows_read(w->r, outcome, &w->body);
    w->status = w->r->route->conf->status;
    w->head = w->body.len > 0 ? SLICE(REPLY_JSON_HEAD) : SLICE("");
    finish(w, outcome->fail == POOL_OK);
}

/* What the upstream's answer is about, beside what it was asked for. */
static void add_named(struct write *w, struct slice reference)
{
    const struct request *r = w->r;
    if (reference.at != NULL &&
        upstream_uri_slot_of(r->route->conf->upstream, r->outgoing->target, reference, &w->slots[w->slot_count]))
        w->slot_count++;
}

/* RFC 9111 4.4: with an answer that is no error. One that tells of the upstream's own trouble leaves it open. */
static void on_answer(void *arg, const struct upstream_outcome *outcome)
{
    struct write *w = arg;
    struct upstream_answer answer;
    w->answered = upstream_call_answer(w->r, outcome, &answer);
    if (w->answered) {
        add_named(w, upstream_field(outcome, "Location"));
        add_named(w, upstream_field(outcome, "Content-Location"));
        w->status = answer.status;
        w->head = answer.head;
        buf_add(&w->body, outcome->body.at, outcome->body.len);
    }
    w->doubtful = outcome->sent && (!w->answered || w->status >= 500);
    finish(w, w->answered && w->status < 400);
}

static void run(struct write *w)
{
    switch (w->r->route->conf->from) {
    case FROM_SQL: {
        const struct pool_work work = rows_work(w->r);
        pool_run(w->service->pool, &work, on_rows, w);
        break;
    }
    case FROM_UPSTREAM:
        upstream_call_run(w->r, &(struct upstream_conditions){0}, on_answer, w);
        break;
    case FROM_FAN:
    case FROM_BATCH:
        CHECK(!"a fan is read, and a batch writes by its items");
        break;
    }
}

static void begin(struct request *r)
{
    struct write *w = xcalloc(1, sizeof *w);
    const struct conf_strings *tags = &r->route->conf->invalidates;
    w->r = r;
    w->service = r->service;
    w->timeout_us = r->route->conf->timeout_us;
    w->slot_count = tags->count;
    w->slots = xcalloc((size_t)tags->count + UPSTREAM_URIS, sizeof *w->slots); /* outlives the request */
    params_tags(r->route, tags, r->values, w->slots);
    if (r->route->conf->from == FROM_UPSTREAM)
        w->slots[w->slot_count++] = upstream_call_tag(r);
    if (w->slot_count > 0)
        board_write_begin(r->service->shared->board, r->service->proc);
    if (MUTANT(invalidate_first))
        tags_raise(r->service->shared->tags, w->slots, w->slot_count);
    run(w);
}

static void on_permit(void *arg, bool have)
{
    struct request *r = arg;
    if (!have)
        permit_refuse(r);
    if (http_is_gone(r->http))
        reply_refuse(r, 503, "gone", NULL);
    else if (have)
        begin(r);
    else
        reply_problem(r);
}

void write_start(struct request *r)
{
    struct permit_waiter *waiter;
    if (!rate_passes(r))
        return;
    if (permit_ready(r)) {
        begin(r);
        return;
    }
    waiter = arena_alloc(r->arena, sizeof *waiter);
    *waiter = (struct permit_waiter){.r = r, .turn = on_permit, .arg = r};
    if (permit_wait(waiter))
        return;
    permit_refuse(r);
    reply_problem(r);
}
