#include "worker/gate.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/http_chunks.h"
#include "worker/proxy_protocol.h"
#include "worker/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* LINE_TOLD: of a refused request's first line. READ_BYTES: of a socket at a time. IN_MAX: what a consumer may send
 * while it waits for an answer. PENDING_MAX: answers gathered before they are sent. OUT_MAX: answers not taken, above
 * which no more requests are read. */
enum { LINE_TOLD = 256, READ_BYTES = 64 << 10, IN_MAX = 64 << 10, PENDING_MAX = 64 << 10, OUT_MAX = 256 << 10 };
/* Of a large body at a time, and how often before others get their turn. */
enum { WRITE_BYTES = 256 << 10, WRITES = 4 };
/* Of it, in one record or a few: what is sealed is kept until it is sent. */
enum { SEAL_BYTES = 32 << 10 };
/* Of TLS at a time: with what an earlier piece of a record left, its text has room. */
enum { SEALED_BYTES = 32 << 10 };
#define LINGER_US (2 * US_PER_S)

struct gate_message {
    struct http_request request;
    struct http_head head;
    struct http_chunks chunks;
    struct buf body;
    char bytes[]; /* the head's */
};

static void consume(struct http_conn *conn, struct slice bytes, int64_t now_us);

/* ---- deadlines ---- */

static size_t length_of(const struct evbuffer *buffer)
{
    return buffer != NULL ? evbuffer_get_length(buffer) : 0;
}

static bool has_output(const struct http_conn *conn)
{
    return length_of(conn->out) + length_of(conn->sealed) > 0;
}

static bool is_handshaking(const struct http_conn *conn)
{
    return conn->tls != NULL && !tls_conn_is_open(conn->tls);
}

static enum gate_watch watch_for(const struct http_conn *conn)
{
    switch (conn->state) {
    case GATE_LINGERING:
        return WATCH_LINGER;
    case GATE_STARTING:
    case GATE_DEAD:
        return WATCH_NONE;
    case GATE_PROXY:
        return WATCH_HEAD;
    case GATE_READING:
        if (has_output(conn))
            return WATCH_SEND;
        if (!conn->heard)
            return WATCH_NEW;
        return conn->in.len > 0 || is_handshaking(conn) ? WATCH_HEAD : WATCH_IDLE;
    case GATE_BODY:
        return has_output(conn) ? WATCH_SEND : WATCH_BODY;
    case GATE_BUSY:
        return has_output(conn) ? WATCH_SEND : conn->choked ? WATCH_DEAF : WATCH_NONE;
    case GATE_ENDING:
        return has_output(conn) ? WATCH_SEND : WATCH_NONE;
    }
    return WATCH_NONE;
}

/* Bytes that the consumer has not acknowledged. */
static int queued_for(const struct http_conn *conn)
{
    int bytes = 0;
    return ioctl(conn->fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/* moved: what it waits for has come nearer, its time begins anew. */
static void watch(struct http_conn *conn, bool moved, int64_t now_us)
{
    struct gate *g = conn->gate;
    enum gate_watch watch = watch_for(conn);
    if (watch == conn->watch && !moved)
        return;
    if (conn->watch != WATCH_NONE)
        TAILQ_REMOVE(&g->lists[conn->watch], conn, watched);
    conn->watch = watch;
    conn->watched_us = now_us;
    if (watch == WATCH_SEND)
        conn->queued = queued_for(conn);
    if (watch != WATCH_NONE)
        TAILQ_INSERT_TAIL(&g->lists[watch], conn, watched);
}

/* ---- ends ---- */

/* evhttp may be working on it further up the stack, so the end comes from the loop. */
static void end(struct http_conn *conn)
{
    if (conn->state == GATE_DEAD)
        return;
    conn->state = GATE_DEAD;
    watch(conn, false, 0);
    event_del(&conn->readable);
    event_del(&conn->writable);
    event_active(&conn->turn, EV_TIMEOUT, 1);
}

static void message_destroy(struct gate_message *m)
{
    buf_deinit(&m->body);
    free(m);
}

/* Nobody waits for the answer that is being worked on. */
static void gone(struct http_conn *conn)
{
    struct gate_message *m = conn->message;
    bool busy = conn->state == GATE_BUSY;
    end(conn);
    conn->message = NULL;
    if (m == NULL)
        return;
    m->request.conn = NULL;
    if (!busy)
        message_destroy(m);
    else if (m->request.gone != NULL)
        m->request.gone(m->request.gone_arg);
}

static void conn_free(void *arg)
{
    struct http_conn *conn = arg;
    struct gate *g = conn->gate;
    if (conn->state != GATE_DEAD && conn->state != GATE_STARTING)
        gone(conn); /* evhttp ended it */
    event_del(&conn->turn);
    tls_conn_destroy(&conn->tls);
    if (conn->sealed != NULL)
        evbuffer_free(conn->sealed);
    if (conn->out != NULL)
        evbuffer_free(conn->out);
    buf_deinit(&conn->in);
    free(conn);
    g->connections--;
    g->calls.changed(g->arg);
}

/* ---- writing ---- */

static struct evbuffer *made(struct evbuffer **buffer)
{
    if (*buffer == NULL)
        *buffer = evbuffer_new();
    CHECK(*buffer != NULL);
    return *buffer;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* To the socket when nothing waits before it, the rest into the buffer. */
static void send_or_keep(struct http_conn *conn, struct slice bytes, struct evbuffer **rest)
{
    size_t sent = 0;
    if (bytes.len == 0)
        return;
    if (length_of(*rest) == 0) {
        ssize_t n = send(conn->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent < bytes.len)
        CHECK(evbuffer_add(made(rest), bytes.at + sent, bytes.len - sent) == 0);
}

/* What TLS has to say. */
static void send_sealed(struct http_conn *conn)
{
    send_or_keep(conn, tls_conn_output(conn->tls), &conn->sealed);
    tls_conn_sent(conn->tls);
}

static void on_sent(struct http_conn *conn)
{
    if (conn->state != GATE_ENDING)
        return;
    if (conn->tls != NULL) {
        tls_conn_end(conn->tls);
        send_sealed(conn); /* if the socket is full just now the consumer has to do without it */
    }
    if (!conn->unread && conn->in.len == 0) {
        end(conn);
        return;
    }
    shutdown(conn->fd, SHUT_WR);
    conn->state = GATE_LINGERING;
    buf_deinit(&conn->in);
    if (conn->choked)
        event_add(&conn->readable, NULL);
}

/* The next piece of what stands in `out`. False: the session failed. */
static bool seal(struct http_conn *conn)
{
    struct evbuffer_iovec piece;
    if (evbuffer_peek(conn->out, -1, NULL, &piece, 1) < 1)
        return true;
    struct slice text = slice_of(piece.iov_base, MIN(piece.iov_len, (size_t)SEAL_BYTES));
    if (!tls_conn_write(conn->tls, text))
        return false;
    CHECK(evbuffer_drain(conn->out, text.len) == 0);
    send_sealed(conn);
    return true;
}

/* Bytes that went on their way; below 0 as write() has it. */
static int send_some(struct http_conn *conn)
{
    if (conn->tls == NULL)
        return evbuffer_write_atmost(conn->out, conn->fd, WRITE_BYTES);
    if (length_of(conn->sealed) > 0)
        return evbuffer_write(conn->sealed, conn->fd);
    if (seal(conn))
        return 1;
    errno = EPROTO;
    return -1;
}

/* What stands in the buffers. */
static void send_out(struct http_conn *conn, int64_t now_us)
{
    bool moved = false;
    int writes = conn->tls == NULL ? WRITES : WRITES * WRITE_BYTES / SEAL_BYTES;
    for (int i = 0; i < writes && has_output(conn); i++) {
        int n = send_some(conn);
        if (n < 0 && !would_block()) {
            gone(conn);
            return;
        }
        if (n <= 0)
            break;
        moved = true;
    }
    if (has_output(conn))
        event_add(&conn->writable, NULL);
    else
        on_sent(conn);
    watch(conn, moved, now_us);
}

/* What was gathered: to the socket when nothing is before it. */
static void flush(struct http_conn *conn)
{
    struct gate *g = conn->gate;
    struct slice text = buf_slice(&g->pending);
    if (g->writer != conn || text.len == 0)
        return;
    if (conn->tls == NULL)
        send_or_keep(conn, text, &conn->out);
    else if (length_of(conn->out) > 0)
        CHECK(evbuffer_add(conn->out, text.at, text.len) == 0);
    else if (tls_conn_write(conn->tls, text))
        send_sealed(conn);
    else
        gone(conn);
    g->pending.len = 0;
}

struct evbuffer *gate_out(struct http_conn *conn)
{
    flush(conn);
    return made(&conn->out);
}

void gate_write(struct http_conn *conn, struct slice bytes)
{
    if (conn->gate->writer == conn)
        buf_add(&conn->gate->pending, bytes.at, bytes.len);
    else
        CHECK(evbuffer_add(gate_out(conn), bytes.at, bytes.len) == 0);
}

/* Sends, and goes on reading what had been left because too much was not taken. */
static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    int64_t now_us = clock_mono_us();
    send_out(conn, now_us);
    if (conn->choked && !has_output(conn) && conn->state == GATE_READING) {
        conn->choked = false;
        event_add(&conn->readable, NULL);
        struct buf in = conn->in;
        conn->in = (struct buf){0};
        consume(conn, buf_slice(&in), now_us);
        buf_deinit(&in);
    }
}

/* ---- evhttp ---- */

/* An output filter that keeps what evhttp writes. */
static enum bufferevent_filter_result take_output(struct evbuffer *from, struct evbuffer *to, ev_ssize_t limit,
                                                  enum bufferevent_flush_mode mode, void *arg)
{
    (void)to, (void)limit, (void)mode;
    return evbuffer_add_buffer(gate_out(arg), from) == 0 ? BEV_OK : BEV_ERROR;
}

/* A filter does not pass on what was added before evhttp enabled writing. */
void gate_pull(struct http_conn *conn)
{
    bufferevent_flush(conn->shell, EV_WRITE, BEV_NORMAL);
}

/* evhttp is told the method alone: all else was read already, and more strictly. */
static void pass(struct http_conn *conn)
{
    static const char *const lines[HTTP_OTHER] = {
        "GET / HTTP/1.1\r\n\r\n",   "HEAD / HTTP/1.1\r\n\r\n",   "POST / HTTP/1.1\r\n\r\n",   "PUT / HTTP/1.1\r\n\r\n",
        "PATCH / HTTP/1.1\r\n\r\n", "DELETE / HTTP/1.1\r\n\r\n", "OPTIONS / HTTP/1.1\r\n\r\n"};
    struct gate *g = conn->gate;
    struct gate_message *m = conn->message;
    m->request.body = buf_slice(&m->body);
    conn->state = GATE_BUSY;
    if (m->head.method == HTTP_OTHER) {
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

/* ---- requests ---- */

/* The slices of head point into `from`; the copy's into `to`. */
static void move_head(struct http_head *head, const char *from, const char *to)
{
    head->target.at = to + (head->target.at - from);
    for (int i = 0; i < head->field_count; i++) {
        head->fields[i].name.at = to + (head->fields[i].name.at - from);
        head->fields[i].value.at = to + (head->fields[i].value.at - from);
    }
}

static struct http_request request_of(struct http_conn *conn, const struct http_head *head, int64_t now_us)
{
    struct http_request request = {
        .head = head, .method = head->method, .target = head->target, .started_us = now_us, .conn = conn};
    memcpy(request.remote, conn->remote, sizeof request.remote);
    if (conn->trusted)
        forwarded_for(&conn->gate->conf->trusted_proxies, head, request.remote);
    return request;
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
    m->request = request_of(conn, &m->head, now_us);
    m->request.early = early;
    m->request.message = m;
    conn->message = m;
}

/* Answered by the handler like a request, then the connection ends. bytes: of one whose head is no good; its first line
 * stands for its target, so that the log tells what came. */
static void refuse(struct http_conn *conn, enum http_method method, struct slice bytes, const struct http_refusal *why,
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

/* True: go on with what follows. */
static bool begin(struct http_conn *conn, struct slice bytes, int64_t now_us)
{
    struct gate *g = conn->gate;
    struct http_head *head = &g->head;
    bool has_body = head->length > 0 || head->chunked, early = false;
    if (!has_body && g->conf->fast_path && (head->method == HTTP_GET || head->method == HTTP_HEAD)) {
        struct http_request request = request_of(conn, head, now_us);
        if (g->calls.hit(g->arg, &request))
            return true;
        early = request.early;
    }
    keep_message(conn, head, slice_of(bytes.at, head->bytes), early, now_us);
    if (head->length > (uint64_t)g->conf->max_body_bytes) {
        refuse(conn, head->method, bytes,
               &(struct http_refusal){413, "body_too_large", "the body is longer than max_body"}, now_us);
        return false;
    }
    if (has_body)
        ask_for_body(conn, bytes.len > head->bytes);
    else
        pass(conn);
    return true;
}

/* ---- reading ---- */

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
    switch (http_head_read(bytes, g->conf->max_uri_bytes, g->conf->max_head_bytes, &g->head, &why)) {
    case HTTP_READ_MORE:
        return false;
    case HTTP_READ_BAD:
        refuse(conn, g->head.method, bytes, &why, now_us);
        return false;
    case HTTP_READ_WHOLE:
        break;
    }
    conn->blank = false;
    *used = g->head.bytes;
    return begin(conn, bytes, now_us);
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
        pass(conn);
        return true;
    }
    switch (http_chunks_read(&m->chunks, bytes, conf->max_body_bytes, conf->max_head_bytes, &m->body, used, &why)) {
    case HTTP_READ_MORE:
        return false;
    case HTTP_READ_BAD:
        refuse(conn, m->head.method, bytes, &why, now_us);
        return false;
    case HTTP_READ_WHOLE:
        break;
    }
    pass(conn);
    return true;
}

static bool has_much_output(const struct http_conn *conn)
{
    return length_of(conn->out) + length_of(conn->sealed) >= OUT_MAX;
}

/* Too many answers wait to be taken: on_writable() goes on. */
static bool is_choked(struct http_conn *conn, int64_t now_us)
{
    if (conn->gate->pending.len >= PENDING_MAX)
        flush(conn);
    if (has_much_output(conn))
        send_out(conn, now_us);
    if (conn->state == GATE_DEAD || !has_much_output(conn))
        return conn->state == GATE_DEAD;
    conn->choked = true;
    event_del(&conn->readable);
    return true;
}

static void know_peer(struct http_conn *conn)
{
    conn->trusted = forwarded_trusts(&conn->gate->conf->trusted_proxies, conn->remote);
    conn->state = GATE_READING;
}

static bool read_proxy(struct http_conn *conn, struct slice bytes, size_t *used)
{
    enum http_read read = proxy_protocol_read(bytes, conn->remote, used);
    if (read == HTTP_READ_BAD)
        gone(conn); /* whatever speaks here is no proxy, and would not understand an answer */
    else if (read == HTTP_READ_WHOLE)
        know_peer(conn);
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

/* What is not used stays with the connection. An answer that comes meanwhile finds `taking` set and only changes the
 * state; another connection's answer may come within it too, and then is no writer. */
static void consume(struct http_conn *conn, struct slice bytes, int64_t now_us)
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
    if (conn->state != GATE_DEAD)
        buf_add(&conn->in, bytes.at, bytes.len);
    if (conn->in.len == 0)
        buf_deinit(&conn->in);
    if (outer == NULL) {
        if (conn->state != GATE_DEAD)
            flush(conn);
        g->pending.len = 0;
        g->writer = NULL;
    }
    if (conn->state != GATE_DEAD)
        send_out(conn, now_us);
    watch(conn, moved && watch_for(conn) != WATCH_SEND, now_us);
}

void gate_answered(struct http_request *request, bool close)
{
    struct http_conn *conn = request->conn;
    if (request->message != NULL)
        message_destroy(request->message);
    if (conn == NULL || conn->state == GATE_DEAD)
        return;
    conn->message = NULL;
    conn->state = close ? GATE_ENDING : GATE_READING;
    if (conn->taking)
        return;
    int64_t now_us = clock_mono_us();
    if (conn->choked && conn->state == GATE_READING) {
        conn->choked = false;
        event_add(&conn->readable, NULL);
    }
    struct buf in = conn->in;
    conn->in = (struct buf){0};
    consume(conn, buf_slice(&in), now_us);
    buf_deinit(&in);
}

/* The consumer has closed its side: gone when it waits for an answer that is not made yet. */
static void on_end_of_stream(struct http_conn *conn, int64_t now_us)
{
    event_del(&conn->readable);
    if (conn->state == GATE_BUSY || conn->state == GATE_BODY || conn->state == GATE_LINGERING || !has_output(conn)) {
        gone(conn);
        return;
    }
    conn->state = GATE_ENDING;
    conn->unread = false;
    buf_deinit(&conn->in);
    watch(conn, false, now_us);
}

/* A head that has not grown by a line is not worth another look. */
static bool is_no_more(const struct http_conn *conn, size_t kept, size_t came)
{
    const struct conf *conf = conn->gate->conf;
    return conn->state == GATE_READING && kept > 0 &&
           (int64_t)(kept + came) < MIN(conf->max_uri_bytes, conf->max_head_bytes) &&
           memchr(conn->gate->scratch + kept, '\n', came) == NULL;
}

/* Bytes of text at the scratch's place; 0: the consumer sends no more; below 0: none now. */
static ssize_t read_sealed(struct http_conn *conn, size_t kept)
{
    struct gate *g = conn->gate;
    size_t len;
    enum tls_read read = tls_conn_read(conn->tls, g->scratch + kept, g->scratch_bytes - kept, &len);
    send_sealed(conn);
    switch (read) {
    case TLS_TEXT:
        return (ssize_t)len;
    case TLS_MORE:
        errno = EAGAIN;
        return -1;
    case TLS_ENDED:
    case TLS_FAILED:
        break;
    }
    return 0;
}

static ssize_t receive(struct http_conn *conn, size_t kept)
{
    struct gate *g = conn->gate;
    if (conn->tls == NULL || conn->state == GATE_PROXY)
        return recv(conn->fd, g->scratch + kept, g->scratch_bytes - kept, 0);
    ssize_t n = recv(conn->fd, g->received, SEALED_BYTES, 0);
    if (n <= 0)
        return n;
    tls_conn_feed(conn->tls, slice_of(g->received, (size_t)n));
    return read_sealed(conn, kept);
}

static void take(struct http_conn *conn, size_t kept, size_t came, int64_t now_us)
{
    struct gate *g = conn->gate;
    if (conn->state == GATE_LINGERING)
        return;
    if (conn->state == GATE_BUSY || conn->state == GATE_ENDING || is_no_more(conn, kept, came)) {
        buf_add(&conn->in, g->scratch + kept, came);
        return;
    }
    if (kept > 0)
        memcpy(g->scratch, conn->in.at, kept);
    consume(conn, slice_of(g->scratch, kept + came), now_us);
}

/* What came behind the proxy's word is TLS. */
static void begin_sealed(struct http_conn *conn, int64_t now_us)
{
    tls_conn_feed(conn->tls, buf_slice(&conn->in));
    buf_deinit(&conn->in);
    ssize_t n = read_sealed(conn, 0);
    if (n > 0)
        take(conn, 0, (size_t)n, now_us);
    else if (n == 0)
        on_end_of_stream(conn, now_us);
    else
        watch(conn, true, now_us);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    struct gate *g = conn->gate;
    bool proxied = conn->state == GATE_PROXY;
    size_t kept = conn->state == GATE_LINGERING ? 0 : conn->in.len;
    if (kept >= g->scratch_bytes - READ_BYTES || (conn->state == GATE_BUSY && kept >= IN_MAX)) {
        conn->choked = true; /* until it is answered */
        event_del(&conn->readable);
        watch(conn, false, clock_mono_us());
        return;
    }
    ssize_t n = receive(conn, kept);
    int64_t now_us = clock_mono_us();
    if (n < 0 && would_block()) {
        conn->heard |= conn->tls != NULL;
        if (length_of(conn->sealed) > 0)
            send_out(conn, now_us);
        else
            watch(conn, false, now_us); /* the handshake may be over */
        return;
    }
    if (n <= 0) {
        on_end_of_stream(conn, now_us);
        return;
    }
    conn->heard = true;
    take(conn, kept, (size_t)n, now_us);
    if (proxied && conn->tls != NULL && conn->state == GATE_READING)
        begin_sealed(conn, now_us);
}

/* ---- beginning ---- */

static void name_peer(struct http_conn *conn)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    const void *address = NULL;
    if (getpeername(conn->fd, (struct sockaddr *)&peer, &len) != 0)
        return;
    if (peer.ss_family == AF_INET)
        address = &((struct sockaddr_in *)&peer)->sin_addr;
    else if (peer.ss_family == AF_INET6)
        address = &((struct sockaddr_in6 *)&peer)->sin6_addr;
    if (peer.ss_family == AF_UNIX)
        strcpy(conn->remote, LOCAL_ADDRESS);
    if (address != NULL)
        inet_ntop(peer.ss_family, address, conn->remote, sizeof conn->remote);
}

static void start(struct http_conn *conn)
{
    struct gate *g = conn->gate;
    int one = 1;
    conn->fd = (int)bufferevent_getfd(conn->shell);
    if (conn->fd < 0)
        return; /* evhttp did not want it after all */
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    name_peer(conn);
    if (g->tls != NULL)
        conn->tls = tls_conn_create(g->tls);
    event_assign(&conn->readable, g->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->writable, g->base, conn->fd, EV_WRITE, on_writable, conn);
    if (g->behind_proxy)
        conn->state = GATE_PROXY;
    else
        know_peer(conn);
    event_add(&conn->readable, NULL);
    watch(conn, true, clock_mono_us());
}

/* To evhttp the end looks like the consumer's own. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    if (conn->state == GATE_STARTING)
        start(conn);
    else if (conn->state == GATE_DEAD)
        bufferevent_trigger_event(conn->shell, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
}

struct bufferevent *gate_accept(struct event_base *base, void *arg)
{
    struct gate *g = arg;
    struct http_conn *conn = xcalloc(1, sizeof *conn);
    *conn = (struct http_conn){.gate = g, .fd = -1, .state = GATE_STARTING, .watch = WATCH_NONE};
    conn->socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    CHECK(conn->socket != NULL);
    conn->shell = bufferevent_filter_new(conn->socket, NULL, take_output, BEV_OPT_CLOSE_ON_FREE, conn_free, conn);
    CHECK(conn->shell != NULL);
    bufferevent_disable(conn->socket, EV_READ | EV_WRITE);
    event_assign(&conn->turn, base, -1, 0, on_turn, conn);
    event_active(&conn->turn, EV_TIMEOUT, 1);
    g->connections++;
    g->calls.changed(g->arg);
    return conn->shell;
}

void gate_init(struct gate *g, struct event_base *base, const struct conf *conf, const struct gate_calls *calls,
               void *arg)
{
    *g = (struct gate){.base = base, .conf = conf, .calls = *calls, .arg = arg};
    for (int i = 0; i < WATCH_COUNT; i++)
        TAILQ_INIT(&g->lists[i]);
    g->scratch_bytes = (size_t)MAX(conf->max_head_bytes, (int64_t)IN_MAX) + 2 * READ_BYTES;
    g->scratch = xmalloc(g->scratch_bytes);
    g->received = xmalloc(SEALED_BYTES);
}

void gate_deinit(struct gate *g)
{
    buf_deinit(&g->pending);
    free(g->scratch);
    free(g->received);
}

/* ---- time ---- */

/* The kernel takes much at a time, and asks for more only when it has got rid of a good part: a slow consumer is one
 * that takes nothing from the kernel. */
static bool takes_something(struct http_conn *conn, int64_t now_us)
{
    if (conn->watch != WATCH_SEND || queued_for(conn) >= conn->queued)
        return false;
    watch(conn, true, now_us);
    return true;
}

static void expire(struct http_conn *conn, int64_t now_us)
{
    static const struct http_refusal late = {408, "request_timeout", "the request did not come in time"};
    if (conn->state != GATE_PROXY && !is_handshaking(conn) && (conn->watch == WATCH_HEAD || conn->watch == WATCH_BODY))
        refuse(conn, HTTP_OTHER, buf_slice(&conn->in), &late, now_us);
    else if (!takes_something(conn, now_us))
        gone(conn);
}

/* Their ends are not read, as what comes before it is not. */
static void end_deaf(struct gate *g)
{
    struct http_conn *conn, *next;
    for (conn = TAILQ_FIRST(&g->lists[WATCH_DEAF]); conn != NULL; conn = next) {
        struct pollfd end = {conn->fd, POLLRDHUP, 0};
        next = TAILQ_NEXT(conn, watched);
        if (poll(&end, 1, 0) > 0)
            gone(conn);
    }
}

void gate_tick(struct gate *g, int64_t now_us)
{
    const int64_t times_us[WATCH_COUNT] = {[WATCH_NEW] = g->conf->keepalive_timeout_us,
                                           [WATCH_IDLE] = g->conf->keepalive_timeout_us,
                                           [WATCH_HEAD] = g->conf->head_timeout_us,
                                           [WATCH_BODY] = g->conf->body_timeout_us,
                                           [WATCH_SEND] = g->conf->send_timeout_us,
                                           [WATCH_DEAF] = INT64_MAX,
                                           [WATCH_LINGER] = LINGER_US};
    for (int i = 0; i < WATCH_COUNT; i++) {
        struct http_conn *conn;
        while ((conn = TAILQ_FIRST(&g->lists[i])) != NULL && now_us - conn->watched_us >= times_us[i])
            expire(conn, now_us);
    }
    end_deaf(g);
}

void gate_end_idle(struct gate *g, int64_t before_us)
{
    static const enum gate_watch idle[] = {WATCH_NEW, WATCH_IDLE};
    struct http_conn *conn;
    for (size_t i = 0; i < ARRAY_LEN(idle); i++)
        while ((conn = TAILQ_FIRST(&g->lists[idle[i]])) != NULL && conn->watched_us < before_us)
            gone(conn);
}

bool gate_end_one(struct gate *g)
{
    struct http_conn *conn = TAILQ_FIRST(&g->lists[WATCH_IDLE]);
    if (conn != NULL)
        gone(conn);
    return conn != NULL;
}
