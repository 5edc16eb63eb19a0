#include "common/json_scan.h"
#include "worker/field_lines.h"
#include "worker/inner_state.h"
#include "worker/offload.h"

static struct inner *inner_of(const struct http_request *http)
{
    return (struct inner *)(void *)((char *)(uintptr_t)http - offsetof(struct inner, http));
}

void inner_give_back(struct inner *inner)
{
    if (inner->lent.release != NULL)
        inner->lent.release(inner->lent.arg);
    inner->lent = (struct http_body){0};
    buf_deinit(&inner->body);
}

void inner_refuse(struct inner *inner, int status, const char *code, const char *detail)
{
    struct problem *problem = arena_alloc(inner->run->arena, sizeof *problem);
    *problem = (struct problem){.status = status, .code = code, .detail = detail};
    inner_give_back(inner);
    problem_write(problem, inner->http.id.at, &inner->body);
    inner->status = status;
    inner->problem = problem;
    inner->type = SLICE("application/problem+json");
    inner->json = true;
    inner->unfit = false;
    inner->fields = SLICE("");
}

static bool take_room(struct inner *inner, size_t bytes)
{
    bool fits = bytes <= inner->run->left_bytes;
    inner->run->left_bytes -= fits ? bytes : 0;
    return fits;
}

static void add_line(struct buf *lines, const char *name, struct slice value)
{
    buf_adds(lines, name);
    buf_adds(lines, ": ");
    buf_add(lines, value.at, value.len);
    buf_adds(lines, "\r\n");
}

/* What a consumer needs of them, each name once. */
static void take_lines(struct inner *inner, struct slice lines)
{
    static const char *const wanted[] = {"Allow", "Link", "Location", "Retry-After"};
    struct arena *arena = inner->run->arena;
    struct slice type = field_lines_find(lines, "Content-Type");
    struct buf fields = {0};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct slice value = field_lines_list(lines, wanted[i], arena);
        if (value.at != NULL)
            add_line(&fields, wanted[i], value);
    }
    inner->type = type.at != NULL ? arena_copy(arena, type) : SLICE("");
    inner->fields = fields.len > 0 ? arena_copy(arena, buf_slice(&fields)) : SLICE("");
    buf_deinit(&fields);
}

static void take_head(struct inner *inner, int status, const struct http_header *headers, int count)
{
    struct buf lines = {0};
    inner->status = status;
    for (int i = 0; i < count; i++) {
        if (headers[i].name.len > 0)
            add_line(&lines, headers[i].name.at, headers[i].value);
        else
            buf_add(&lines, headers[i].value.at, headers[i].value.len);
    }
    take_lines(inner, buf_slice(&lines));
    buf_deinit(&lines);
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
    inner_refuse(inner, 413, "answer_too_large",
                 "the answer is larger than what is left for all together; ask for it alone");
}

/* ---- what it is ---- */

static bool is_json_type(struct slice type)
{
    const char *semicolon = type.len > 0 ? memchr(type.at, ';', type.len) : NULL;
    struct slice name = slice_trimmed(semicolon ? slice_of(type.at, (size_t)(semicolon - type.at)) : type);
    return slice_same(name, JSON_TYPE) || (name.len > 5 && slice_ends(name, SLICE("+json")));
}

static struct slice body_of(const struct inner *inner)
{
    return inner->lent.release ? inner->lent.bytes : buf_slice(&inner->body);
}

/* What was made elsewhere need not be what its type says. */
static void look_at(void *arg)
{
    struct inner *inner = arg;
    struct slice body = body_of(inner);
    inner->json = is_json_type(inner->type) && (!inner->http.origin.foreign || json_is_text(body));
    inner->unfit = !inner->json && utf8_check(body) >= 0;
}

static void on_looked_at(void *arg)
{
    inner_end(arg);
}

/* By a worker that ends: nobody is told any more. */
static void on_dropped(void *arg)
{
    inner_give_back(arg);
}

/* The answer is complete. */
static void finish(struct inner *inner)
{
    static const struct offload_work work = {look_at, on_looked_at, on_dropped};
    struct offload *offload = inner->run->service->offload;
    inner->http.gone = NULL;
    if (inner->http.origin.foreign && body_of(inner).len > REQUEST_READ_AT_ONCE_BYTES &&
        offload_start(offload, OFFLOAD_JSON, &work, inner) != NULL)
        return;
    look_at(inner);
    inner_end(inner);
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
        inner_give_back(inner);
    finish(inner);
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
    inner_turn_soon(inner->run); /* it cannot be told from here that nobody wants the rest */
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
        inner_refuse(inner, 503, "answer_cut", "the answer broke off before its end");
    finish(inner);
}

const struct http_taker inner_taker = {on_reply, on_begin, on_add, on_is_full, on_end};

/* ---- telling who waits ---- */

void inner_tell(struct inner_run *run, struct inner *inner)
{
    if (inner->unfit)
        inner_refuse(inner, 502, "answer_not_text", "the answer is neither JSON nor text; ask for it alone");
    const struct inner_answer answer = {.status = inner->status,
                                        .body = body_of(inner),
                                        .is_json = inner->json,
                                        .type = inner->type,
                                        .fields = inner->fields,
                                        .origin = inner->http.origin,
                                        .problem = inner->problem};
    run->answered[inner->index] = true;
    run->answered_count++;
    run->work.answered(run->work.arg, inner->index, &answer);
}
