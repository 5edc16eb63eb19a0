#include "common/clock.h"
#include "worker/field_lines.h"
#include "worker/inner_state.h"

#include <event2/event.h>
#include <stdlib.h>

/* BEGUN_A_TURN: before others get their turn of the loop. */
enum { BEGUN_A_TURN = 64, OWN_FIELDS = 2 };

/* ---- what they inherit ---- */

/* Of the outer one's body, of how its answer is to be, or of its connection (RFC 9110, RFC 9112). */
static bool is_own_field(struct slice name)
{
    static const char *const names[] = {"Accept",  "Accept-Encoding", "Connection", "Expect",  "Keep-Alive",
                                        "Origin",  "Range",           "TE",         "Trailer", "Transfer-Encoding",
                                        "Upgrade", "X-Request-Id"};
    static const char *const prefixes[] = {"Access-Control-", "Content-", "If-"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_same(name, slice_str(names[i])))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (slice_begins(name, slice_str(prefixes[i])))
            return true;
    return false;
}

/* connection: names what is for us alone (RFC 9110 7.6.1). */
static bool is_handed_on(struct slice name, struct slice connection, bool shared)
{
    if (field_list_has(connection, name))
        return false;
    return shared ? slice_same(name, SLICE("traceparent")) || slice_same(name, SLICE("tracestate"))
                  : !is_own_field(name);
}

/* outer NULL: there is no consumer. */
static struct http_head *make_head(const struct http_head *outer, bool shared, struct arena *arena)
{
    size_t count = outer ? (size_t)outer->field_count : 0;
    struct slice connection = outer ? http_head_list(outer, "Connection", 10, arena) : slice_of(NULL, 0);
    struct http_head *head =
        arena_alloc(arena, offsetof(struct http_head, fields) + (count + OWN_FIELDS) * sizeof head->fields[0]);
    head->minor = 1;
    head->keep_alive = true;
    head->fields[head->field_count++] = (struct http_field){SLICE("Accept"), JSON_TYPE};
    head->fields[head->field_count++] =
        (struct http_field){SLICE("Content-Type"), JSON_TYPE}; /* where there is a body */
    for (size_t i = 0; i < count; i++) {
        const struct http_field *f = &outer->fields[i];
        if (is_handed_on(f->name, connection, shared))
            head->fields[head->field_count++] =
                (struct http_field){arena_copy(arena, f->name), arena_copy(arena, f->value)};
    }
    return head;
}

/* ---- going on ---- */

void inner_turn_soon(struct inner_run *run)
{
    if (!run->turning)
        event_active(&run->turn, EV_TIMEOUT, 1);
}

void inner_end(struct inner *inner)
{
    struct inner_run *run = inner->run;
    TAILQ_REMOVE(&run->running, inner, at);
    TAILQ_INSERT_TAIL(&run->ended, inner, at);
    inner_turn_soon(run);
}

static void hand_over(struct inner_run *run, struct inner *inner)
{
    TAILQ_REMOVE(&run->ended, inner, at);
    run->running_count--;
    if (!run->over)
        inner_tell(run, inner);
    inner_give_back(inner);
}

static struct slice id_of(const struct inner_run *run, int index)
{
    return slice_str(arena_printf(run->arena, "%s.%s", run->id, run->work.asks[index].label));
}

static void begin_next(struct inner_run *run)
{
    struct inner *inner = arena_alloc(run->arena, sizeof *inner);
    int index = run->next++;
    const struct inner_ask *ask = &run->work.asks[index];
    inner->run = run;
    inner->index = index;
    inner->http = (struct http_request){.head = run->head,
                                        .method = ask->method,
                                        .target = ask->target,
                                        .body = ask->body,
                                        .refusal = ask->refusal,
                                        .started_us = clock_mono_us(),
                                        .user = run->service,
                                        .taker = &inner_taker,
                                        .asker = run->asker,
                                        .id = id_of(run, index),
                                        .depth = run->depth,
                                        .deadline_us = run->deadline_us};
    memcpy(inner->http.remote, run->remote, sizeof inner->http.remote);
    TAILQ_INSERT_TAIL(&run->running, inner, at);
    run->running_count++;
    if (ask->method != HTTP_GET || ask->refusal.status != 0 || !request_hit(run->service, &inner->http))
        request_begin(run->service, &inner->http);
}

static void forsake(struct inner *inner)
{
    void (*gone)(void *) = inner->http.gone;
    inner->http.forsaken = true;
    inner->http.gone = NULL;
    if (gone != NULL)
        gone(inner->http.handler_arg);
}

static void forsake_running(struct inner_run *run, bool overflowing_alone)
{
    struct inner *next;
    for (struct inner *inner = TAILQ_FIRST(&run->running); inner != NULL; inner = next) {
        next = TAILQ_NEXT(inner, at); /* which it does not move: each ends by itself */
        if (!overflowing_alone || inner->overflows)
            forsake(inner);
    }
}

static void destroy(struct inner_run *run)
{
    struct arena *arena = run->arena;
    event_del(&run->turn);
    event_del(&run->late);
    arena_destroy(&arena);
}

/* The run is gone with its last request, when nobody waits. */
static void finish(struct inner_run *run)
{
    if (!run->over && run->answered_count == run->work.count) {
        run->over = true;
        run->work.done(run->work.arg);
    }
    if (run->over && run->running_count == 0)
        destroy(run);
}

static bool may_begin(const struct inner_run *run)
{
    return !run->over && clock_mono_us() < run->deadline_us && run->next < run->work.count &&
           run->running_count < run->work.concurrency;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    const struct timeval at_once = {0, 0};
    struct inner_run *run = arg;
    struct inner *ended;
    int left = BEGUN_A_TURN;
    run->turning = true;
    forsake_running(run, true);
    while ((ended = TAILQ_FIRST(&run->ended)) != NULL || (may_begin(run) && left > 0)) {
        if (ended != NULL) {
            hand_over(run, ended);
        } else {
            begin_next(run);
            left--;
        }
    }
    run->turning = false;
    if (may_begin(run))
        event_add(&run->turn, &at_once);
    else
        finish(run);
}

/* What ended already is told before. */
static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct inner_run *run = arg;
    struct inner *ended;
    while ((ended = TAILQ_FIRST(&run->ended)) != NULL)
        hand_over(run, ended);
    for (int i = 0; i < run->work.count && !run->over; i++) {
        struct inner late = {.run = run, .index = i, .http = {.id = id_of(run, i)}};
        if (run->answered[i])
            continue;
        inner_refuse(&late, 504, "timeout", "the whole request took too long");
        inner_tell(run, &late);
        inner_give_back(&late);
    }
    forsake_running(run, false);
    finish(run);
}

/* ---- life ---- */

static const struct http_head *copy_asker(struct inner_run *run, const struct http_request *outer, bool shared)
{
    if (outer->taker != NULL && outer->asker == NULL)
        return NULL;
    if (outer->taker == NULL && !shared)
        return run->head;
    return make_head(outer->taker ? outer->asker : outer->head, false, run->arena);
}

struct inner_run *inner_create(const struct request *outer, bool shared)
{
    struct arena *arena = arena_create();
    struct inner_run *run = arena_alloc(arena, sizeof *run);
    run->arena = arena;
    run->service = outer->service;
    run->head = make_head(outer->http ? outer->http->head : NULL, shared, arena);
    run->id = arena_str(arena, outer->id);
    run->depth = outer->depth + 1;
    run->deadline_us = outer->deadline_us;
    if (outer->http != NULL) {
        run->asker = copy_asker(run, outer->http, shared);
        memcpy(run->remote, outer->http->remote, sizeof run->remote);
    }
    TAILQ_INIT(&run->running);
    TAILQ_INIT(&run->ended);
    event_assign(&run->turn, run->service->base, -1, 0, on_turn, run);
    event_assign(&run->late, run->service->base, -1, 0, on_late, run);
    return run;
}

struct arena *inner_arena(struct inner_run *run)
{
    return run->arena;
}

void inner_start(struct inner_run *run, const struct inner_work *work)
{
    int64_t left_us = MAX(run->deadline_us - clock_mono_us(), INT64_C(0));
    const struct timeval left = {left_us / US_PER_S, left_us % US_PER_S};
    run->work = *work;
    run->left_bytes = work->max_bytes;
    run->answered = arena_alloc(run->arena, (size_t)MAX(work->count, 1) * sizeof *run->answered);
    event_add(&run->late, &left);
    event_active(&run->turn, EV_TIMEOUT, 1);
}

void inner_forget(struct inner_run **forgotten)
{
    struct inner_run *run = *forgotten;
    *forgotten = NULL;
    if (run == NULL)
        return;
    run->over = true;
    event_del(&run->late);
    forsake_running(run, false);
    event_active(&run->turn, EV_TIMEOUT, 1); /* where it is destroyed: this may come from one of its own calls */
}
