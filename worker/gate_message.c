#include "worker/gate_conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

/* Of a refused request's first line. */
enum { LINE_TOLD = 256 };

void gate_message_destroy(struct gate_message *m)
{
    buf_deinit(&m->body);
    free(m);
}

/* The slices of head point into `from`; the copy's into `to`. */
static void move_head(struct http_head *head, const char *from, const char *to)
{
    head->target.at = to + (head->target.at - from);
    for (int i = 0; i < head->field_count; i++) {
        head->fields[i].name.at = to + (head->fields[i].name.at - from);
        head->fields[i].value.at = to + (head->fields[i].value.at - from);
    }
}

static void fill_request(struct http_conn *conn, const struct http_head *head, int64_t now_us, struct http_request *out)
{
    *out = (struct http_request){
        .head = head, .method = head->method, .target = head->target, .started_us = now_us, .conn = conn};
    memcpy(out->remote, conn->remote, sizeof out->remote);
    if (conn->trusted)
        forwarded_for(&conn->gate->conf->trusted_proxies, head, out->remote);
}

static void keep_message(struct http_conn *conn, const struct http_head *head, struct slice bytes, bool early,
                         int64_t now_us)
{
    struct gate_message *m = xmalloc(sizeof *m + bytes.len);
    memcpy(m->bytes, bytes.at, bytes.len);
    memcpy(&m->head, head, offsetof(struct http_head, fields) + (size_t)head->field_count * sizeof head->fields[0]);
    move_head(&m->head, bytes.at, m->bytes);
    m->chunks = (struct http_chunks){0};
    m->body = (struct buf){0};
    fill_request(conn, &m->head, now_us, &m->request);
    m->request.early = early;
    m->request.message = m;
    conn->message = m;
}

void conn_refuse(struct http_conn *conn, enum http_method method, struct slice bytes, const struct http_refusal *why,
                 int64_t now_us)
{
    struct gate *g = conn->gate;
    if (conn->message == NULL) {
        struct http_head none = {.method = method, .target = {bytes.at, 0}};
        while (none.target.len < MIN(bytes.len, (size_t)LINE_TOLD) && !strchr("\r\n", bytes.at[none.target.len]))
            none.target.len++;
        keep_message(conn, &none, none.target, false, now_us);
    }
    struct http_request *request = &conn->message->request;
    request->refusal = *why;
    conn->unread = true;
    conn->state = GATE_BUSY;
    g->calls.handle(g->arg, request);
}

static void ask_for_body(struct http_conn *conn, bool some_came)
{
    if (conn->message->head.expects_continue && !some_came)
        gate_write(conn, slice_str("HTTP/1.1 100 Continue\r\n\r\n"));
    conn->state = GATE_BODY;
}

/* The method alone is told: all else was read already, and more strictly. */
void conn_pass(struct http_conn *conn)
{
    static const char *const lines[HTTP_OTHER] = {
        "GET / HTTP/1.1\r\n\r\n",   "HEAD / HTTP/1.1\r\n\r\n",   "POST / HTTP/1.1\r\n\r\n",   "PUT / HTTP/1.1\r\n\r\n",
        "PATCH / HTTP/1.1\r\n\r\n", "DELETE / HTTP/1.1\r\n\r\n", "OPTIONS / HTTP/1.1\r\n\r\n"};
    struct gate *g = conn->gate;
    struct gate_message *m = conn->message;
    m->request.body = buf_slice(&m->body);
    conn->state = GATE_BUSY;
    bool is_plain = g->conf->fast_path && (m->head.method == HTTP_GET || m->head.method == HTTP_HEAD);
    if (is_plain || m->head.method == HTTP_OTHER) {
        g->calls.handle(g->arg, &m->request);
        return;
    }
    const char *line = lines[m->head.method];
    struct evbuffer *input = bufferevent_get_input(conn->shell);
    CHECK(evbuffer_add(input, line, strlen(line)) == 0);
    g->passing = conn;
    bufferevent_trigger(conn->shell, EV_READ, 0);
    CHECK(g->passing == NULL); /* gate_take() came */
}

struct http_request *gate_take(struct gate *g, void *hold)
{
    struct http_request *request = &g->passing->message->request;
    CHECK(request->conn == g->passing);
    g->passing = NULL;
    request->hold = hold;
    return request;
}

bool conn_begin(struct http_conn *conn, struct slice bytes, int64_t now_us)
{
    struct gate *g = conn->gate;
    struct http_head *head = &g->head;
    bool has_body = head->length > 0 || head->chunked, early = false;
    if (!has_body && g->conf->fast_path && (head->method == HTTP_GET || head->method == HTTP_HEAD)) {
        struct http_request request;
        fill_request(conn, head, now_us, &request);
        if (g->calls.hit(g->arg, &request))
            return true;
        early = request.early;
    }
    keep_message(conn, head, slice_of(bytes.at, head->bytes), early, now_us);
    if (head->length > (uint64_t)g->conf->max_body_bytes) {
        conn_refuse(conn, head->method, bytes,
                    &(struct http_refusal){413, "body_too_large", "the body is longer than max_body"}, now_us);
        return false;
    }
    if (has_body)
        ask_for_body(conn, bytes.len > head->bytes);
    else
        conn_pass(conn);
    return true;
}
