#include "worker/upstream_call.h"
#include "common/clock.h"
#include "worker/field_lines.h"
#include "worker/trace.h"
#include "worker/upstream_target.h"
#include "worker/upstream_uri.h"
#include "worker/variant.h"

/* ---- asking ---- */

uint32_t upstream_call_tag(const struct request *r)
{
    return upstream_uri_slot(r->route->conf->upstream, r->outgoing->target);
}

/* RFC 9110 7.6.1: what Connection names is for the next one alone, and goes no further. */
void upstream_call_read_fields(struct request *r)
{
    const struct conf_strings *forward = &r->route->conf->upstream->forward;
    if (r->forwarded != NULL || forward->count == 0)
        return;
    struct slice connection = http_list_in(r->http, "Connection", r->arena);
    r->forwarded = arena_alloc(r->arena, (size_t)forward->count * sizeof *r->forwarded);
    for (int i = 0; i < forward->count; i++) {
        struct slice value = http_list_in(r->http, forward->at[i], r->arena);
        if (value.at != NULL && !field_list_has(connection, slice_str(forward->at[i])))
            r->forwarded[i] = arena_copy(r->arena, value);
    }
    r->personal = variant_sent(r->forwarded, r->route->credentials) != 0;
}

static void add(struct request *r, struct http_header *fields, int *count, const char *name, struct slice value)
{
    if (value.at != NULL)
        fields[(*count)++] = (struct http_header){slice_str(name), arena_copy(r->arena, value)};
}

/* Copies: a request that is answered lives on where its value is fetched anew. */
static void add_fields(struct request *r, struct upstream_request *out)
{
    enum { OWN = 3 };
    const struct conf_strings *forward = &r->route->conf->upstream->forward;
    struct http_header *fields = arena_alloc(r->arena, (size_t)(forward->count + OWN) * sizeof *fields);
    struct slice trace = http_header_in(r->http, "traceparent");
    int count = 0;
    add(r, fields, &count, "X-Request-Id", r->id);
    if (trace_id(trace).len > 0)
        add(r, fields, &count, "traceparent", trace);
    if (out->body.len > 0)
        add(r, fields, &count, "Content-Type", http_header_in(r->http, "Content-Type"));
    for (int i = 0; i < forward->count; i++)
        add(r, fields, &count, forward->at[i], r->forwarded[i]);
    out->headers = fields;
    out->header_count = count;
}

bool upstream_call_prepare(struct request *r)
{
    struct upstream_request *out = arena_alloc(r->arena, sizeof *out);
    out->method = r->method;
    if (!upstream_target_make(r, &out->target))
        return false;
    if (r->method != METHOD_GET)
        out->body = r->http->body;
    upstream_call_read_fields(r);
    add_fields(r, out);
    r->outgoing = out;
    return true;
}

static void add_condition(struct upstream_request *out, struct http_header *fields, const char *name,
                          struct slice value)
{
    if (value.at != NULL)
        fields[out->header_count++] = (struct http_header){slice_str(name), value};
}

struct upstream_job *upstream_call_run(struct request *r, const struct upstream_conditions *conditions,
                                       upstream_done *done, void *arg)
{
    enum { CONDITIONS = 2 };
    struct service *s = r->service;
    const struct conf_route *conf = r->route->conf;
    struct upstream_request *out = arena_alloc(r->arena, sizeof *out);
    *out = *r->outgoing;
    struct http_header *fields = arena_alloc(r->arena, (size_t)(out->header_count + CONDITIONS) * sizeof *fields);
    memcpy(fields, out->headers, (size_t)out->header_count * sizeof *fields);
    add_condition(out, fields, "If-None-Match", conditions->etag);
    add_condition(out, fields, "If-Modified-Since", conditions->modified);
    out->headers = fields;
    out->timeout_us = MIN(conf->timeout_us, s->conf->request_timeout_us);
    out->deadline_us = MIN(clock_mono_us() + conf->timeout_us, r->deadline_us);
    return upstream_run(s->upstreams[conf->upstream - s->conf->upstreams], out, done, arg);
}

/* ---- its answer ---- */

static bool refuse(struct request *r, int status, const char *code, const char *detail)
{
    r->problem.status = status;
    r->problem.code = code;
    r->problem.detail = detail;
    return false;
}

static bool refuse_outcome(struct request *r, const struct upstream_outcome *outcome)
{
    switch (outcome->fail) {
    case UPSTREAM_OK:
        CHECK(!"an answer is no failure");
        break;
    case UPSTREAM_REJECTED:
        return refuse(r, 503, "overloaded", "too many requests wait for the upstream, or it has failed");
    case UPSTREAM_DOWN:
        return refuse(r, 502, "upstream_unreachable", "the upstream gave no answer");
    case UPSTREAM_BROKEN:
        return refuse(r, 502, "upstream_invalid", "the upstream's answer is not whole, or not HTTP");
    case UPSTREAM_TOO_LARGE:
        return refuse(r, 502, "upstream_too_large", "the upstream's answer is too large");
    case UPSTREAM_TIMEOUT:
        return refuse(r, 504, "upstream_timeout",
                      outcome->run_us >= 0 ? "the upstream gave no answer in time"
                                           : "waited too long for a connection to the upstream");
    }
    return false;
}

static void add_line(struct buf *head, struct slice name, struct slice value)
{
    buf_add(head, name.at, name.len);
    buf_adds(head, ": ");
    buf_add(head, value.at, value.len);
    buf_adds(head, "\r\n");
}

static bool is_taken(const struct conf_upstream *conf, struct slice name)
{
    for (int i = 0; i < conf->take.count; i++)
        if (slice_same(name, slice_str(conf->take.at[i])))
            return true;
    return false;
}

/* What freshness.h looks at. */
static bool tells_of_keeping(struct slice name)
{
    static const char *const names[] = {"Age",           "Cache-Control", "Date", "ETag",
                                        "Last-Modified", "Set-Cookie",    "Vary", "Expires"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_same(name, slice_str(names[i])))
            return true;
    return false;
}

static struct slice kept(struct request *r, struct buf *lines)
{
    struct slice copy = arena_copy(r->arena, buf_slice(lines));
    buf_deinit(lines);
    return copy;
}

/* Connection may have several lines. */
static bool is_of_connection(const struct upstream_outcome *outcome, struct slice name)
{
    bool is = false;
    for (int i = 0; i < outcome->header_count && !is; i++)
        is = slice_same(outcome->headers[i].name, SLICE("Connection")) &&
             field_list_has(outcome->headers[i].value, name);
    return is;
}

static void read_head(struct request *r, const struct upstream_outcome *outcome, struct upstream_answer *out)
{
    struct buf head = {0}, kept_head = {0}, fields = {0};
    struct slice type = upstream_field(outcome, "Content-Type");
    if (type.len > 0 && outcome->body.len > 0) {
        add_line(&head, SLICE("Content-Type"), type);
        add_line(&kept_head, SLICE("Content-Type"), type);
    }
    for (int i = 0; i < outcome->header_count; i++) {
        const struct http_header *field = &outcome->headers[i];
        if (tells_of_keeping(field->name))
            add_line(&fields, field->name, field->value);
        if (!is_taken(r->route->conf->upstream, field->name) || is_of_connection(outcome, field->name))
            continue;
        add_line(&head, field->name, field->value);
        if (!slice_same(field->name, SLICE("Set-Cookie")))
            add_line(&kept_head, field->name, field->value);
    }
    out->head = kept(r, &head);
    out->kept_head = kept(r, &kept_head);
    out->fields = kept(r, &fields);
}

void upstream_call_read(struct request *r, const struct upstream_outcome *outcome, struct upstream_answer *out)
{
    r->wait_us = outcome->wait_us;
    r->run_us = outcome->run_us;
    *out = (struct upstream_answer){.status = outcome->status};
    read_head(r, outcome, out);
}

/* Nobody asked whether something has changed, or for a part of it: what says so is the answer to another question. */
static bool is_asked_for(int status)
{
    return status >= 200 && status <= 599 && status != 206 && status != 304;
}

bool upstream_call_answer(struct request *r, const struct upstream_outcome *outcome, struct upstream_answer *out)
{
    if (outcome->fail != UPSTREAM_OK) {
        r->wait_us = outcome->wait_us;
        r->run_us = outcome->run_us;
        return refuse_outcome(r, outcome);
    }
    upstream_call_read(r, outcome, out);
    if (!is_asked_for(outcome->status))
        return refuse(r, 502, "upstream_invalid", "the upstream answers another question than it was asked");
    return true;
}
