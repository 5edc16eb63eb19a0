#include "worker/inner.h"
#include "common/clock.h"
#include "common/json_scan.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>

/* Before others get their turn of the loop. */
enum { BEGUN_A_TURN = 64 };

struct inner {
    struct http_request http;
    struct inner_run *run;
    int index;
    bool ended;
    bool overflows; /* its answer is longer than there is room for; it is not over yet */
    int status;
    struct buf body;
    struct http_body lent; /* in its place, where its release is not NULL */
    struct slice type, fields;
    const struct problem *problem; /* NULL: it is none that we know */
    TAILQ_ENTRY(inner) at;
};

TAILQ_HEAD(inner_list, inner);

struct inner_run {
    struct service *service;
    struct arena *arena;
    struct http_head *head; /* that all of them have */
    const char *id;         /* of the outer one */
    char remote[ADDRESS_BYTES];
    int depth;
    int64_t deadline_us;
    struct inner_work work;
    struct inner_list running, ended;
    int next, running_count, answered_count;
    bool *answered; /* [index] */
    size_t left_bytes;
    bool turning, over; /* over: nobody waits */
    struct event turn, late;
};

/* ---- what they inherit ---- */

static bool is_name(struct slice name, const char *wanted)
{
    return name.len == strlen(wanted) && strncasecmp(name.at, wanted, name.len) == 0;
}

/* Of the outer one's body, of how its answer is to be, or of its connection (RFC 9110, RFC 9112). */
static bool is_own_field(struct slice name)
{
    static const char *const names[] = {"Accept",  "Accept-Encoding", "Connection", "Expect",  "Keep-Alive",
                                        "Origin",  "Range",           "TE",         "Trailer", "Transfer-Encoding",
                                        "Upgrade", "X-Request-Id"};
    static const char *const prefixes[] = {"Access-Control-", "Content-", "If-"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (is_name(name, names[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (name.len >= strlen(prefixes[i]) && strncasecmp(name.at, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* outer NULL: there is no consumer. */
static struct http_head *make_head(const struct http_head *outer, struct arena *arena)
{
    size_t count = outer ? (size_t)outer->field_count : 0;
    struct http_head *head =
        arena_alloc(arena, offsetof(struct http_head, fields) + (count + 1) * sizeof head->fields[0]);
    head->minor = 1;
    head->keep_alive = true;
    head->fields[head->field_count++] = (struct http_field){SLICE("Accept"), SLICE("application/json")};
    for (size_t i = 0; i < count; i++) {
        const struct http_field *f = &outer->fields[i];
        if (!is_own_field(f->name))
            head->fields[head->field_count++] =
                (struct http_field){arena_copy(arena, f->name), arena_copy(arena, f->value)};
    }
    return head;
}

/* ---- answers ---- */

static struct inner *inner_of(const struct http_request *http)
{
    return (struct inner *)(void *)((char *)(uintptr_t)http - offsetof(struct inner, http));
}

static void give_back(struct inner *inner)
{
    if (inner->lent.release != NULL)
        inner->lent.release(inner->lent.arg);
    inner->lent = (struct http_body){0};
    buf_deinit(&inner->body);
}

static void turn_soon(struct inner_run *run)
{
    if (!run->turning)
        event_active(&run->turn, EV_TIMEOUT, 1);
}

static void end(struct inner *inner)
{
    struct inner_run *run = inner->run;
    inner->ended = true;
    TAILQ_REMOVE(&run->running, inner, at);
    TAILQ_INSERT_TAIL(&run->ended, inner, at);
    turn_soon(run);
}

/* In place of an answer that cannot be given. */
static void refuse(struct inner *inner, int status, const char *code, const char *detail)
{
    struct problem *problem = arena_alloc(inner->run->arena, sizeof *problem);
    *problem = (struct problem){.status = status, .code = code, .detail = detail};
    give_back(inner);
    problem_write(problem, inner->http.id.at, &inner->body);
    inner->status = status;
    inner->problem = problem;
    inner->type = SLICE("application/problem+json");
    inner->fields = SLICE("");
}

static bool take_room(struct inner *inner, size_t bytes)
{
    bool fits = bytes <= inner->run->left_bytes;
    inner->run->left_bytes -= fits ? bytes : 0;
    return fits;
}

static void take_field(struct inner *inner, struct slice name, struct slice value, struct buf *fields)
{
    static const char *const wanted[] = {"Allow", "Link", "Location", "Retry-After"};
    if (is_name(name, "Content-Type"))
        inner->type = arena_copy(inner->run->arena, value);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (is_name(name, wanted[i])) {
            buf_add(fields, name.at, name.len);
            buf_adds(fields, ": ");
            buf_add(fields, value.at, value.len);
            buf_adds(fields, "\r\n");
        }
}

/* Whole fields, each with its CRLF. */
static void take_lines(struct inner *inner, struct slice lines, struct buf *fields)
{
    for (const char *at = lines.at, *stop = at + lines.len; at < stop;) {
        const char *colon = memmem(at, (size_t)(stop - at), ": ", 2),
                   *line_end = memmem(at, (size_t)(stop - at), "\r\n", 2);
        CHECK(colon != NULL && line_end != NULL && colon < line_end);
        take_field(inner, slice_of(at, (size_t)(colon - at)), slice_of(colon + 2, (size_t)(line_end - colon - 2)),
                   fields);
        at = line_end + 2;
    }
}

static void take_head(struct inner *inner, int status, const struct http_header *headers, int count)
{
    struct buf fields = {0};
    inner->status = status;
    for (int i = 0; i < count; i++)
        if (headers[i].name.len == 0)
            take_lines(inner, headers[i].value, &fields);
        else
            take_field(inner, headers[i].name, headers[i].value, &fields);
    inner->fields = fields.len > 0 ? arena_copy(inner->run->arena, buf_slice(&fields)) : SLICE("");
    buf_deinit(&fields);
}

/* The request, whose it is, is gone when this is looked at. */
static void take_problem(struct inner *inner)
{
    struct arena *arena = inner->run->arena;
    const struct problem *from = inner->http.problem;
    struct problem *to = arena_alloc(arena, sizeof *to);
    *to = (struct problem){.status = from->status,
                           .code = from->code ? arena_str(arena, slice_str(from->code)) : NULL,
                           .detail = from->detail ? arena_str(arena, slice_str(from->detail)) : NULL,
                           .part = from->part ? arena_str(arena, slice_str(from->part)) : NULL};
    for (const struct problem_error *e = from->errors; e != NULL; e = e->next)
        problem_add(to, arena, e->parameter ? arena_str(arena, slice_str(e->parameter)) : NULL, e->offset,
                    arena_str(arena, slice_str(e->detail)));
    inner->problem = to;
}

static void too_large(struct inner *inner)
{
    refuse(inner, 413, "answer_too_large", "the answer is larger than what is left for all together; ask for it alone");
}

static void on_reply(struct http_request *http, int status, const struct http_header *headers, int count,
                     const struct http_body *body)
{
    struct inner *inner = inner_of(http);
    bool has_body = http->method != HTTP_HEAD && body->bytes.len > 0;
    take_head(inner, status, headers, count);
    if (http->problem != NULL)
        take_problem(inner);
    if (body->release != NULL)
        inner->lent = *body;
    if (has_body && !take_room(inner, body->bytes.len))
        too_large(inner);
    else if (has_body && body->release == NULL)
        buf_add(&inner->body, body->bytes.at, body->bytes.len);
    else if (!has_body)
        give_back(inner);
    end(inner);
}

static void on_begin(struct http_request *http, int status, const struct http_header *headers, int count)
{
    take_head(inner_of(http), status, headers, count);
}

static void on_add(struct http_request *http, struct slice bytes)
{
    struct inner *inner = inner_of(http);
    if (http->method == HTTP_HEAD || inner->overflows)
        return;
    if (take_room(inner, bytes.len)) {
        buf_add(&inner->body, bytes.at, bytes.len);
        return;
    }
    inner->overflows = true;
    inner->run->left_bytes += inner->body.len;
    buf_deinit(&inner->body);
    turn_soon(inner->run); /* it cannot be told from here that nobody wants the rest */
}

static bool on_is_full(const struct http_request *http)
{
    return inner_of(http)->overflows;
}

static void on_end(struct http_request *http, bool whole)
{
    struct inner *inner = inner_of(http);
    if (inner->overflows)
        too_large(inner);
    else if (!whole)
        refuse(inner, 503, "answer_cut", "the answer broke off before its end");
    end(inner);
}

static const struct http_taker taker = {on_reply, on_begin, on_add, on_is_full, on_end};

/* ---- telling who waits ---- */

static bool is_json_type(struct slice type)
{
    const char *semicolon = type.len > 0 ? memchr(type.at, ';', type.len) : NULL;
    size_t len = semicolon ? (size_t)(semicolon - type.at) : type.len;
    while (len > 0 && (type.at[len - 1] == ' ' || type.at[len - 1] == '\t'))
        len--;
    return (len == 16 && strncasecmp(type.at, "application/json", 16) == 0) ||
           (len > 5 && strncasecmp(type.at + len - 5, "+json", 5) == 0);
}

static struct slice body_of(const struct inner *inner)
{
    return inner->lent.release ? inner->lent.bytes : buf_slice(&inner->body);
}

/* What was made elsewhere need not be what its type says. */
static bool is_json(const struct inner *inner)
{
    return is_json_type(inner->type) && (!inner->http.foreign || json_is_text(body_of(inner)));
}

static void tell(struct inner_run *run, struct inner *inner)
{
    bool json = is_json(inner);
    if (!json && utf8_check(body_of(inner)) >= 0) {
        refuse(inner, 502, "answer_not_text", "the answer is neither JSON nor text; ask for it alone");
        json = true;
    }
    const struct inner_answer answer = {.status = inner->status,
                                        .body = body_of(inner),
                                        .is_json = json,
                                        .type = inner->type,
                                        .fields = inner->fields,
                                        .problem = inner->problem};
    run->answered[inner->index] = true;
    run->answered_count++;
    run->work.answered(run->work.arg, inner->index, &answer);
}

static void hand_over(struct inner_run *run, struct inner *inner)
{
    TAILQ_REMOVE(&run->ended, inner, at);
    run->running_count--;
    if (!run->over)
        tell(run, inner);
    give_back(inner);
}

/* ---- going on ---- */

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
                                        .taker = &taker,
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
        refuse(&late, 504, "timeout", "the whole request took too long");
        tell(run, &late);
        give_back(&late);
    }
    forsake_running(run, false);
    finish(run);
}

/* ---- life ---- */

struct inner_run *inner_create(const struct request *outer)
{
    struct arena *arena = arena_create();
    struct inner_run *run = arena_alloc(arena, sizeof *run);
    run->arena = arena;
    run->service = outer->service;
    run->head = make_head(outer->http ? outer->http->head : NULL, arena);
    run->id = arena_str(arena, outer->id);
    run->depth = outer->depth + 1;
    run->deadline_us = outer->deadline_us;
    if (outer->http != NULL)
        memcpy(run->remote, outer->http->remote, sizeof run->remote);
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
