#include "common/clock.h"
#include "worker/gate_conn.h"
#include "worker/proxy_protocol.h"

/* PENDING_MAX: answers gathered before they are sent. OUT_MAX: answers not taken, above which no more requests are
 * read. */
enum { PENDING_MAX = 64 << 10, OUT_MAX = 256 << 10 };

/* Each takes what it can of bytes, and is false when it needs more or has refused. */
static bool read_head(struct http_conn *conn, struct slice bytes, size_t *used, int64_t now_us)
{
    struct gate *g = conn->gate;
    struct http_refusal why;
    *used = 0;
    if (!conn->blank && bytes.at[0] == '\r') {
        /* RFC 9112 2.2: an empty line before a request is what some old consumers send behind a body. */
        if (bytes.len < 2)
            return false;
        if (bytes.at[1] == '\n') {
            conn->blank = true;
            *used = 2;
            return true;
        }
    }
    enum http_read read = http_head_read(bytes, g->conf->max_uri_bytes, g->conf->max_head_bytes, &g->head, &why);
    if (read == HTTP_READ_BAD)
        conn_refuse(conn, g->head.method, bytes, &why, now_us);
    if (read != HTTP_READ_WHOLE)
        return false;
    conn->blank = false;
    *used = g->head.bytes;
    return conn_begin(conn, bytes, now_us);
}

static bool read_body(struct http_conn *conn, struct slice bytes, size_t *used, int64_t now_us)
{
    struct gate_message *m = conn->message;
    const struct conf *conf = conn->gate->conf;
    struct http_refusal why;
    if (!m->head.chunked) {
        *used = (size_t)MIN((uint64_t)bytes.len, m->head.length - m->body.len);
        buf_add(&m->body, bytes.at, *used);
        if (m->body.len < m->head.length)
            return false;
        conn_pass(conn);
        return true;
    }
    enum http_read read =
        http_chunks_read(&m->chunks, bytes, conf->max_body_bytes, conf->max_head_bytes, &m->body, used, &why);
    if (read == HTTP_READ_BAD)
        conn_refuse(conn, m->head.method, bytes, &why, now_us);
    if (read != HTTP_READ_WHOLE)
        return false;
    conn_pass(conn);
    return true;
}

static bool has_much_output(const struct http_conn *conn)
{
    return conn_has_output(conn) && conn_output_bytes(conn) >= OUT_MAX;
}

/* Too many answers wait to be taken: conn_on_writable() goes on. */
static bool is_choked(struct http_conn *conn, int64_t now_us)
{
    if (conn->gate->pending.len >= PENDING_MAX)
        conn_flush(conn);
    if (has_much_output(conn))
        conn_send_out(conn, false, now_us);
    if (conn->state == GATE_DEAD || !has_much_output(conn))
        return conn->state == GATE_DEAD;
    conn->choked = true;
    event_del(&conn->readable);
    return true;
}

void conn_know_peer(struct http_conn *conn)
{
    conn->trusted = forwarded_trusts(&conn->gate->conf->trusted_proxies, conn->remote);
    conn->state = GATE_READING;
}

static bool read_proxy(struct http_conn *conn, struct slice bytes, size_t *used)
{
    enum http_read read = proxy_protocol_read(bytes, conn->remote, used);
    if (read == HTTP_READ_BAD)
        conn_gone(conn); /* whatever speaks here is no proxy, and would not understand an answer */
    else if (read == HTTP_READ_WHOLE)
        conn_know_peer(conn);
    return read == HTTP_READ_WHOLE && conn->tls == NULL;
}

static bool take_one(struct http_conn *conn, struct slice bytes, size_t *used, int64_t now_us)
{
    *used = 0;
    switch (conn->state) {
    case GATE_PROXY:
        return read_proxy(conn, bytes, used);
    case GATE_READING:
        return !is_choked(conn, now_us) && read_head(conn, bytes, used, now_us);
    case GATE_BODY:
        return read_body(conn, bytes, used, now_us);
    case GATE_STARTING:
    case GATE_BUSY:
    case GATE_ENDING:
    case GATE_LINGERING:
    case GATE_DEAD:
        break;
    }
    return false;
}

/* An answer that comes meanwhile finds `taking` set and only changes the state; another connection's answer may come
 * within it too, and then is no writer. */
void conn_consume(struct http_conn *conn, struct slice bytes, int64_t now_us)
{
    struct gate *g = conn->gate;
    struct http_conn *outer = g->writer;
    bool more = true, moved = false;
    if (outer == NULL)
        g->writer = conn;
    conn->taking = true;
    while (more && bytes.len > 0) {
        size_t used;
        more = take_one(conn, bytes, &used, now_us);
        bytes = slice_of(bytes.at + used, bytes.len - used);
        moved |= used > 0;
    }
    conn->taking = false;
    conn->in.len = 0;
    if (conn->state != GATE_DEAD && bytes.len > 0)
        buf_add(&conn->in, bytes.at, bytes.len);
    else
        buf_deinit(&conn->in);
    conn_deliver(conn, moved, now_us);
}

void conn_go_on(struct http_conn *conn, int64_t now_us)
{
    struct buf in = conn->in;
    conn->in = (struct buf){0};
    if (conn->choked && conn->state == GATE_READING) {
        conn->choked = false;
        event_add(&conn->readable, NULL);
    }
    conn_consume(conn, buf_slice(&in), now_us);
    buf_deinit(&in);
}

/* Reading the clock costs as much as looking into the cache: what is ready by now begins where this one has ended. */
static void keep_time(struct gate *g, int64_t ended_us)
{
    if (g->turn_us == 0) {
        if (event_base_get_num_events(g->base, EVENT_BASE_COUNT_ACTIVE) == 0)
            return;
        event_active(&g->turn_over, EV_TIMEOUT, 1); /* behind those that are active now */
    }
    g->turn_us = ended_us;
}

void gate_answered(struct http_request *request, bool close)
{
    struct http_conn *conn = request->conn;
    int64_t ended_us = request->ended_us != 0 ? request->ended_us : clock_mono_us();
    if (request->message != NULL)
        gate_message_destroy(request->message);
    if (conn == NULL || conn->state == GATE_DEAD)
        return;
    conn->message = NULL;
    conn->state = close ? GATE_ENDING : GATE_READING;
    if (conn->taking)
        keep_time(conn->gate, ended_us);
    else
        conn_go_on(conn, ended_us);
}
