#include "worker/http.h"
#include "common/clock.h"
#include "common/digits.h"
#include "common/log.h"
#include "worker/gate.h"
#include "worker/http_listener.h"
#include "worker/http_loan.h"
#include "worker/problem.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINES_BYTES = 256, STATUS_LINE_BYTES = 80, OWN_FIELDS = 3, FIELDS_MAX = 32, DATE_LINE_LEN = 37 };
/* evhttp must not see that a connection ends with an answer, or it would end it when the gate has the bytes, which is
 * before the consumer has them. It compares the value as it stands; a space before it means nothing (RFC 9110 5.5). */
#define CLOSE SLICE(" close")

struct http {
    struct evhttp *ev;
    struct gate gate;
    const struct conf *conf;
    struct http_handlers handlers;
    void *arg;
    struct http_listeners listeners;
    struct http_loans loans;
    bool draining;
    int64_t drain_started_us;
    time_t date_of;
    char date[DATE_LINE_LEN + 1];
};

/* ---- requests ---- */

static bool on_hit(void *arg, struct http_request *request)
{
    struct http *http = arg;
    request->user = http->arg;
    return http->handlers.hit != NULL && http->handlers.hit(http->arg, request);
}

static void on_request(void *arg, struct http_request *request)
{
    struct http *http = arg;
    request->user = http->arg;
    http->handlers.handle(http->arg, request);
}

static void on_evhttp_request(struct evhttp_request *ev, void *arg)
{
    struct http *http = arg;
    on_request(http, gate_take(&http->gate, ev));
}

static void on_connections_changed(void *arg)
{
    struct http *http = arg;
    http_listeners_resume(&http->listeners, http->gate.connections);
}

/* ---- answers ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    }
    return status < 300 ? "Success" : problem_title(status);
}

/* RFC 9110 5.6.7, as a whole line. */
static struct slice date_now(struct http *http)
{
    time_t now = time(NULL);
    if (now != http->date_of) {
        struct tm tm;
        http->date_of = now;
        strftime(http->date, sizeof http->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
    }
    return slice_of(http->date, DATE_LINE_LEN);
}

struct fields {
    struct http_header at[FIELDS_MAX];
    int count;
    char length[DIGITS_BYTES];
};

static void add(struct fields *f, struct slice name, struct slice value)
{
    f->at[f->count++] = (struct http_header){name, value};
}

/* RFC 9110 8.6: no length where there can be no body; that of a GET's for 304 is not known. */
static void add_length(struct fields *f, int status, size_t body_bytes)
{
    if (status != 204 && status != 304)
        add(f, SLICE("Content-Length"), digits_of(body_bytes, f->length));
}

static void add_own_fields(struct http *http, const struct http_request *r, bool close, struct fields *f)
{
    add(f, SLICE(""), date_now(http));
    if (close)
        add(f, SLICE("Connection"), CLOSE);
    else if (r->head->minor == 0)
        add(f, SLICE("Connection"), SLICE("keep-alive"));
}

static void tell_evhttp(struct evkeyvalq *out, const char *name, const char *value)
{
    if (evhttp_add_header(out, name, value) != 0)
        log_warn("header %s has a value that HTTP does not allow; left out", name);
}

/* evhttp wants each field by itself. */
static void tell_evhttp_lines(struct evkeyvalq *out, struct slice lines)
{
    char copy[LINES_BYTES];
    CHECK(lines.len < sizeof copy);
    *(char *)mempcpy(copy, lines.at, lines.len) = '\0';
    for (char *line = copy, *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        char *colon = strstr(line, ": ");
        CHECK(colon != NULL && colon < end);
        *end = *colon = '\0';
        tell_evhttp(out, line, colon + 2);
    }
}

static void tell_evhttp_fields(struct evhttp_request *ev, const struct fields *f)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(ev);
    for (int i = 0; i < f->count; i++)
        if (f->at[i].name.len > 0)
            tell_evhttp(out, f->at[i].name.at, f->at[i].value.at);
        else
            tell_evhttp_lines(out, f->at[i].value);
}

static void reply_by_evhttp(struct http *http, struct http_request *r, int status, const struct fields *f,
                            const struct http_body *body)
{
    struct evhttp_request *ev = r->hold;
    struct evbuffer *buffer = evbuffer_new();
    CHECK(buffer != NULL);
    tell_evhttp_fields(ev, f);
    if (body != NULL && body->release != NULL)
        http_loan_add(&http->loans, buffer, gate_out(r->conn), body, clock_mono_us());
    else if (body != NULL)
        CHECK(evbuffer_add(buffer, body->bytes.at, body->bytes.len) == 0);
    evhttp_send_reply(ev, status, reason_of(status), buffer);
    evbuffer_free(buffer);
    gate_pull(r->conn);
}

/* "HTTP/1.1 200 OK" and the line's end. */
static struct slice status_line(int status, char text[STATUS_LINE_BYTES])
{
    if (status == 200)
        return SLICE("HTTP/1.1 200 OK\r\n");
    int len = snprintf(text, STATUS_LINE_BYTES, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
    CHECK(len < STATUS_LINE_BYTES);
    return slice_of(text, (size_t)len);
}

static char *put(char *at, struct slice bytes)
{
    return mempcpy(at, bytes.at, bytes.len);
}

/* What evhttp would have written. */
static void write_head(struct http_conn *conn, int status, const struct fields *f)
{
    char text[STATUS_LINE_BYTES];
    struct slice line = status_line(status, text);
    size_t most = line.len + 2;
    for (int i = 0; i < f->count; i++)
        most += f->at[i].name.len + f->at[i].value.len + 4;
    char *at = gate_room(conn, most), *start = at;
    at = put(at, line);
    for (int i = 0; i < f->count; i++) {
        const struct http_header *h = &f->at[i];
        if (h->name.len == 0) {
            at = put(at, h->value);
            continue;
        }
        at = put(put(at, h->name), SLICE(": "));
        at = put(put(at, h->value), SLICE("\r\n"));
    }
    at = put(at, SLICE("\r\n"));
    gate_wrote(conn, (size_t)(at - start));
}

static void reply_by_gate(struct http *http, struct http_request *r, int status, const struct fields *f,
                          const struct http_body *body)
{
    write_head(r->conn, status, f);
    if (body != NULL && body->release != NULL)
        http_loan_add(&http->loans, gate_out(r->conn), gate_out(r->conn), body, clock_mono_us());
    else if (body != NULL)
        gate_write(r->conn, body->bytes);
}

void http_reply(struct http_request *r, int status, const struct http_header *headers, int count,
                const struct http_body *body)
{
    bool sends = r->conn != NULL && r->method != HTTP_HEAD && body->bytes.len > 0;
    if (r->conn != NULL) {
        struct http *http = gate_arg(r->conn);
        struct fields f;
        f.count = count;
        bool close = !r->head->keep_alive || r->refusal.status != 0 || http->draining;
        CHECK(count + OWN_FIELDS <= FIELDS_MAX);
        memcpy(f.at, headers, (size_t)count * sizeof *headers);
        add_own_fields(http, r, close, &f);
        add_length(&f, status, body->bytes.len);
        if (r->hold != NULL)
            reply_by_evhttp(http, r, status, &f, sends ? body : NULL);
        else
            reply_by_gate(http, r, status, &f, sends ? body : NULL);
        if (!sends && body->release != NULL)
            body->release(body->arg);
        gate_answered(r, close);
        return;
    }
    if (body->release != NULL)
        body->release(body->arg);
    if (r->hold != NULL)
        evhttp_send_reply(r->hold, status, NULL, NULL); /* nobody is there: evhttp frees what it has of it */
    gate_answered(r, true);
}

/* ---- answers in pieces ---- */

/* evhttp makes chunks of them (RFC 9112 7.1), but not for 1.0; and for that it would end the connection, see CLOSE. */
static void start_pieces(struct http_request *r, int status)
{
    struct evhttp_request *ev = r->hold;
    char minor = ev->minor;
    ev->minor = r->head->minor == 0 ? 0 : minor;
    evhttp_send_reply_start(ev, status, reason_of(status));
    ev->minor = minor;
}

void http_stream_begin(struct http_request *r, int status, const struct http_header *headers, int count)
{
    struct fields f;
    if (r->conn == NULL)
        return;
    struct http *http = gate_arg(r->conn);
    CHECK(r->hold != NULL && count + OWN_FIELDS <= FIELDS_MAX);
    f.count = count;
    memcpy(f.at, headers, (size_t)count * sizeof *headers);
    r->closes = !r->head->keep_alive || http->draining || r->head->minor == 0;
    add_own_fields(http, r, r->closes, &f);
    tell_evhttp_fields(r->hold, &f);
    start_pieces(r, status);
    gate_pull(r->conn);
    gate_push(r->conn);
}

void http_stream_add(struct http_request *r, struct slice bytes)
{
    if (r->conn == NULL || r->method == HTTP_HEAD || bytes.len == 0)
        return;
    struct evbuffer *buffer = evbuffer_new();
    CHECK(buffer != NULL && evbuffer_add(buffer, bytes.at, bytes.len) == 0);
    evhttp_send_reply_chunk(r->hold, buffer);
    evbuffer_free(buffer);
    gate_pull(r->conn);
    gate_push(r->conn);
}

size_t http_stream_waiting(const struct http_request *r)
{
    return r->conn != NULL ? gate_waiting(r->conn) : 0;
}

void http_stream_end(struct http_request *r, bool whole)
{
    r->gone = NULL;
    if (r->conn != NULL && !whole)
        gate_cut(r->conn); /* which leaves it NULL */
    if (r->conn != NULL)
        gate_hold(r->conn);
    evhttp_send_reply_end(r->hold);
    if (r->conn != NULL)
        gate_pull(r->conn);
    gate_answered(r, r->closes);
}

/* ---- life ---- */

struct http *http_create(struct event_base *base, const struct conf *conf, const struct tls *tls,
                         const struct http_handlers *handlers, void *arg)
{
    static const struct gate_calls calls = {on_hit, on_request, on_connections_changed};
    struct http *http = xcalloc(1, sizeof *http);
    http->conf = conf;
    http->handlers = *handlers;
    http->arg = arg;
    gate_init(&http->gate, base, conf, &calls, http);
    http->gate.tls = tls;
    http->gate.behind_proxy = handlers->behind_proxy && conf->proxy_protocol;
    http_listeners_init(&http->listeners, base, &http->gate, conf->max_connections);
    http->ev = evhttp_new(base);
    CHECK(http->ev != NULL);
    evhttp_set_default_content_type(http->ev, NULL);
    evhttp_set_allowed_methods(http->ev, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                             EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(http->ev, gate_accept, &http->gate);
    evhttp_set_gencb(http->ev, on_evhttp_request, http);
    return http;
}

void http_destroy(struct http **http)
{
    if (*http == NULL)
        return;
    evhttp_free((*http)->ev);
    gate_deinit(&(*http)->gate);
    free(*http);
    *http = NULL;
}

bool http_listen(struct http *http, int fd)
{
    return http_listeners_add(&http->listeners, http->ev, fd);
}

void http_drain(struct http *http)
{
    http->draining = true;
    http->drain_started_us = clock_mono_us();
    http_listeners_end(&http->listeners);
}

int http_drain_step(struct http *http, int64_t now_us)
{
    int64_t before_us = now_us - http->conf->keepalive_min_us;
    if (http->drain_started_us < before_us)
        gate_end_idle(&http->gate, before_us);
    return http->gate.connections;
}

void http_tick(struct http *http, int64_t now_us)
{
    gate_tick(&http->gate);
    http_loans_return(&http->loans, now_us);
}

int http_lent(const struct http *http)
{
    return http->loans.count;
}

int http_connections(const struct http *http)
{
    return http->gate.connections;
}
