#include "worker/request.h"
#include "common/clock.h"
#include "common/digits.h"
#include "common/json_scan.h"
#include "shm/doing.h"
#include "worker/admin.h"
#include "worker/batch.h"
#include "worker/fetch.h"
#include "worker/format.h"
#include "worker/health.h"
#include "worker/lookup.h"
#include "worker/offload.h"
#include "worker/page.h"
#include "worker/permit.h"
#include "worker/recall.h"
#include "worker/reply.h"
#include "worker/upstream_call.h"
#include "worker/write.h"

#include <stdlib.h>
#include <sys/random.h>

enum { REQUEST_ID_MAX = 128 };

/* ---- beginning ---- */

static bool id_is_fit(struct slice id)
{
    if (id.len == 0 || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.at[i];
        bool fit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                   c == '-';
        if (!fit)
            return false;
    }
    return true;
}

/* The consumer's own, so that it finds the request in our logs, or one that no other request has. */
static struct slice make_id(struct arena *arena, const struct http_request *http)
{
    static uint64_t base, count;
    if (http->taker != NULL)
        return arena_copy(arena, http->id);
    struct slice given = http_header_in(http, "X-Request-Id");
    if (id_is_fit(given))
        return arena_copy(arena, given);
    if (base == 0)
        CHECK(getrandom(&base, sizeof base, 0) == sizeof base);
    uint64_t z = base + ++count * UINT64_C(0x9e3779b97f4a7c15); /* splitmix64: no two alike within 2^64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return digits_hex(z ^ (z >> 31), arena_bytes(arena, HEX16_BYTES));
}

static struct request *request_create(struct service *service, struct http_request *http)
{
    struct arena *arena = arena_create();
    struct request *r = arena_alloc(arena, sizeof *r);
    r->arena = arena;
    r->service = service;
    r->http = http;
    r->id = make_id(arena, http);
    r->method = METHOD_COUNT;
    r->holds = 1;
    r->started_us = http->started_us;
    r->depth = http->depth;
    r->deadline_us = http->taker ? http->deadline_us : r->started_us + service->conf->request_timeout_us;
    r->wait_us = r->run_us = -1;
    service->in_flight++;
    return r;
}

void request_hold(struct request *r)
{
    r->holds++;
}

void request_release(struct request *r)
{
    if (--r->holds > 0)
        return;
    permit_put(r);
    arena_destroy(&r->arena);
}

/* What the gate refused. */
static bool is_request(struct request *r)
{
    const struct conf *conf = r->service->conf;
    const struct http_refusal *refusal = &r->http->refusal;
    const char *detail = refusal->detail;
    if (refusal->status == 0)
        return true;
    if (refusal->status == 413)
        detail = arena_printf(r->arena, "a body has at most %lld bytes", (long long)conf->max_body_bytes);
    else if (refusal->status == 414)
        detail = arena_printf(r->arena, "a target has at most %lld bytes", (long long)conf->max_uri_bytes);
    else if (strcmp(refusal->code, "head_too_large") == 0)
        detail = arena_printf(r->arena, "a head has at most %lld bytes", (long long)conf->max_head_bytes);
    reply_refuse(r, refusal->status, refusal->code, detail);
    return false;
}

static bool parse_target(struct request *r)
{
    const char *wrong = target_parse(r->http->target, r->arena, &r->target);
    if (wrong != NULL)
        reply_refuse(r, 400, "bad_target", wrong);
    return wrong == NULL;
}

/* ---- matching ---- */

static enum method method_of(enum http_method method)
{
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return METHOD_GET;
    case HTTP_POST:
        return METHOD_POST;
    case HTTP_PUT:
        return METHOD_PUT;
    case HTTP_PATCH:
        return METHOD_PATCH;
    case HTTP_DELETE:
        return METHOD_DELETE;
    case HTTP_OPTIONS:
    case HTTP_OTHER:
        break;
    }
    return METHOD_COUNT;
}

static void on_described(void *arg);

static enum encode_format wanted_format(const struct request *r)
{
    const struct conf_route *conf = r->route->conf;
    bool has_rows = conf->from == FROM_SQL && conf->result == RESULT_ROWS && r->method == METHOD_GET;
    return has_rows ? format_of(http_list_in(r->http, "Accept", r->arena)) : ENCODE_JSON;
}

static void find_place(struct request *r)
{
    r->path_values = arena_alloc(r->arena, (size_t)r->target.segment_count * sizeof *r->path_values);
    r->place = router_find(r->service->router, &r->target, r->path_values);
}

static void match(struct request *r)
{
    find_place(r);
    if (r->place == NULL) {
        if (!health_answer(r))
            reply_refuse(r, 404, "no_route", "no route has this path");
        return;
    }
    if (r->http->method == HTTP_OPTIONS) {
        reply_options(r);
        return;
    }
    r->route = r->method == METHOD_COUNT ? NULL : router_route(r->place, r->method);
    if (r->route == NULL)
        reply_refuse(r, 405, "method_not_allowed", "this path has no route for the method");
    else if (route_await(r->route, clock_mono_us(), on_described, r))
        on_described(r);
}

/* ---- parameters ---- */

/* An upstream gets it as it came, a batch reads it itself. */
static bool has_json(const struct request *r)
{
    enum route_source from = r->route->conf->from;
    return r->method != METHOD_GET && r->http->body.len > 0 && from != FROM_UPSTREAM && from != FROM_BATCH;
}

/* What a route of its kind makes of its parameters. */
static bool prepare(struct request *r)
{
    if (r->route->conf->from == FROM_UPSTREAM)
        return upstream_call_prepare(r);
    return r->route->page == NULL || page_read(r);
}

static void refuse(struct request *r, const char *code, const char *detail)
{
    r->problem.status = 400;
    r->problem.code = code;
    r->problem.detail = detail;
}

/* r->problem's status is not 0 afterwards: something is wrong with them. Touches nothing but the request's own, and its
 * route's, which stands still: of a large body a thread does it. */
static void read_params(void *arg)
{
    struct request *r = arg;
    struct json_field *fields = NULL;
    struct json_error error;
    int count = 0;
    if (has_json(r) && !json_scan_object(r->http->body, r->arena, &fields, &count, &error)) {
        problem_add(&r->problem, r->arena, NULL, (long)error.offset, error.what);
        refuse(r, "bad_body", "the body is not a JSON object");
        return;
    }
    const struct params_source source = {r->place, r->method, r->path_values, &r->target, fields, count};
    if (!params_read(r->route, &source, r->arena, &r->values, &r->problem) || !prepare(r))
        refuse(r, "bad_parameter", NULL);
}

static void on_params(void *arg)
{
    struct request *r = arg;
    doing_for(DOING_params, r->route->row);
    if (r->problem.status != 0) {
        reply_problem(r);
        return;
    }
    doing_for(DOING_query, r->route->row);
    r->format = wanted_format(r);
    if (r->method == METHOD_GET)
        fetch_start(r);
    else if (r->route->conf->from == FROM_BATCH)
        batch_start(r);
    else
        write_start(r);
}

/* By a worker that ends: nobody answers any more. */
static void on_dropped(void *arg)
{
    request_release(arg);
}

static bool read_by_thread(struct request *r)
{
    static const struct offload_work work = {read_params, on_params, on_dropped};
    return has_json(r) && r->http->body.len > REQUEST_READ_AT_ONCE_BYTES &&
           offload_start(r->service->offload, OFFLOAD_JSON, &work, r) != NULL;
}

static void on_described(void *arg)
{
    struct request *r = arg;
    doing_for(DOING_params, r->route->row);
    switch (r->route->state) {
    case ROUTE_READY:
        break;
    case ROUTE_BAD:
        reply_refuse(r, 500, "query_failed", "the query failed; its operator finds the reason in the error log");
        return;
    case ROUTE_UNKNOWN:
    case ROUTE_DESCRIBING:
        if (r->route->problem.text[0] != '\0')
            reply_refuse(r, 500, "query_failed", "the query failed; its operator finds the reason in the error log");
        else
            reply_refuse(r, 503, "database_unavailable", "the database cannot be reached");
        return;
    }
    if (read_by_thread(r))
        return;
    read_params(r);
    on_params(r);
}

void request_begin(void *service, struct http_request *http)
{
    struct request *r = request_create(service, http);
    r->method = method_of(http->method);
    if (!is_request(r))
        return;
    if (http->method == HTTP_OTHER)
        reply_refuse(r, 501, "not_implemented", "this method is not known here");
    else if (http->method == HTTP_OPTIONS && slice_is(http->target, "*"))
        reply_options(r);
    else if (parse_target(r))
        match(r);
}

/* The request is a GET of a cached route whose parameters are right. */
static bool match_cached(struct request *r, struct recalled *out)
{
    if (target_parse(r->http->target, r->arena, &r->target) != NULL)
        return false;
    find_place(r);
    r->route = r->place ? router_route(r->place, METHOD_GET) : NULL;
    if (r->route == NULL || !r->route->conf->cached || r->route->state != ROUTE_READY)
        return false;
    const struct params_source source = {r->place, METHOD_GET, r->path_values, &r->target, NULL, 0};
    if (!params_read(r->route, &source, r->arena, &r->values, &r->problem))
        return false;
    r->format = wanted_format(r);
    *out = (struct recalled){r->route, r->place, lookup_key(r)};
    return true;
}

bool request_hit(void *service, struct http_request *http)
{
    struct service *s = service;
    struct request r = {.service = s,
                        .http = http,
                        .arena = s->hit_arena,
                        .holds = 2, /* one of them is this function's */
                        .started_us = http->started_us,
                        .method = METHOD_GET,
                        .wait_us = -1,
                        .run_us = -1};
    struct slice target = http->target;
    struct recalled is;
    bool known = recall_find(s->recall, target, &is), answered = false;
    s->in_flight++;
    if (known) { /* as JSON */
        r.route = is.route;
        known = wanted_format(&r) == ENCODE_JSON;
    }
    if (known || match_cached(&r, &is)) {
        r.route = is.route;
        r.place = is.place;
        r.id = make_id(r.arena, http);
        answered = fetch_hit(&r, &is.key);
    }
    if (answered && !known && r.format == ENCODE_JSON)
        recall_keep(s->recall, target, &is);
    if (!answered)
        s->in_flight--;
    arena_reset(s->hit_arena);
    return answered;
}

void request_begin_admin(void *service, struct http_request *http)
{
    struct request *r = request_create(service, http);
    r->method = method_of(http->method);
    r->of_admin = true;
    if (is_request(r) && parse_target(r))
        admin_answer(r);
}
