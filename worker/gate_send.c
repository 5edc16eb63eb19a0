#include "common/clock.h"
#include "shm/doing.h"
#include "worker/gate_conn.h"
#include "worker/tls.h"

#include <event2/buffer.h>
#include <sys/socket.h>

/* Of a large body at a time, and how often before others get their turn. */
enum { WRITE_BYTES = 256 << 10, WRITES = 4 };
/* Of it, in one record or a few: what is sealed is kept until it is sent. */
enum { SEAL_BYTES = 32 << 10 };
/* Of an answer in pieces: the next ones are asked for when no more of it waits. */
enum { ROOM_BYTES = 256 << 10 };
/* How old the sum of what all of them left may be. */
#define SUM_US (10 * US_PER_MS)

static size_t length_of(const struct evbuffer *buffer)
{
    return buffer != NULL ? evbuffer_get_length(buffer) : 0;
}

size_t conn_output_bytes(const struct http_conn *conn)
{
    return length_of(conn->out) + length_of(conn->sealed);
}

static struct evbuffer *made(struct evbuffer **buffer)
{
    if (*buffer == NULL)
        *buffer = evbuffer_new();
    CHECK(*buffer != NULL);
    return *buffer;
}

static void unmake(struct evbuffer **buffer)
{
    if (*buffer != NULL)
        evbuffer_free(*buffer);
    *buffer = NULL;
}

/* To the socket when nothing waits before it, the rest into the buffer. */
static ALWAYS_INLINE void send_or_keep(struct http_conn *conn, struct slice bytes, struct evbuffer **rest)
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

void conn_send_sealed(struct http_conn *conn)
{
    send_or_keep(conn, tls_conn_output(conn->tls), &conn->sealed);
    tls_conn_sent(conn->tls);
}

/* Buffers that are empty are given up: of most connections all answers go straight to the socket. */
static void on_sent(struct http_conn *conn)
{
    unmake(&conn->out);
    unmake(&conn->sealed);
    if (conn->state != GATE_ENDING)
        return;
    if (conn->tls != NULL) {
        tls_conn_end(conn->tls);
        conn_send_sealed(conn); /* if the socket is full just now the consumer has to do without it */
    }
    if (!conn->unread && conn->in.len == 0) {
        conn_end(conn);
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
    conn_send_sealed(conn);
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

void conn_send_out(struct http_conn *conn, bool moved, int64_t now_us)
{
    bool sent = false;
    int writes = conn->tls == NULL ? WRITES : WRITES * WRITE_BYTES / SEAL_BYTES;
    for (int i = 0; i < writes && conn_has_output(conn); i++) {
        int n = send_some(conn);
        if (n < 0 && !would_block()) {
            conn_gone(conn);
            return;
        }
        if (n <= 0)
            break;
        sent = true;
    }
    bool waits = conn_has_output(conn);
    if (waits)
        event_add(&conn->writable, NULL);
    else
        on_sent(conn);
    conn_watch(conn, waits ? sent : moved || sent, now_us);
}

/* ---- answers ---- */

static ALWAYS_INLINE void flush(struct http_conn *conn)
{
    struct gate *g = conn->gate;
    struct slice text = buf_slice(&g->pending);
    if (text.len == 0)
        return;
    if (conn->tls == NULL)
        send_or_keep(conn, text, &conn->out);
    else if (length_of(conn->out) > 0)
        CHECK(evbuffer_add(conn->out, text.at, text.len) == 0);
    else if (tls_conn_write(conn->tls, text))
        conn_send_sealed(conn);
    else
        conn_gone(conn);
    g->pending.len = 0;
}

void conn_flush(struct http_conn *conn)
{
    if (conn->gate->writer == conn)
        flush(conn);
}

/* While its bytes are gone through conn_deliver() is still to come. */
void conn_forget_output(struct http_conn *conn)
{
    struct gate *g = conn->gate;
    if (g->writer != conn || conn->taking)
        return;
    g->pending.len = 0;
    g->writer = NULL;
}

/* Most answers leave here. Each function that a system call returns through costs what a mispredicted jump does, as the
 * kernel empties the CPU's stack of return addresses; so this is what those before it end with. */
void conn_deliver(struct http_conn *conn, bool moved, int64_t now_us)
{
    struct gate *g = conn->gate;
    if (g->writer == conn) {
        if (conn->state != GATE_DEAD)
            flush(conn);
        g->pending.len = 0;
        g->writer = NULL;
    }
    if (conn->state != GATE_DEAD)
        conn_send_out(conn, moved, now_us);
}

/* One whose bytes are being gone through is the writer already, or is within another one's turn. */
void gate_begin(struct http_conn *conn)
{
    if (conn->gate->writer == NULL)
        conn->gate->writer = conn;
}

struct evbuffer *gate_out(struct http_conn *conn)
{
    conn_flush(conn);
    return made(&conn->out);
}

void gate_write(struct http_conn *conn, struct slice bytes)
{
    if (conn->gate->writer == conn)
        buf_add(&conn->gate->pending, bytes.at, bytes.len);
    else
        CHECK(evbuffer_add(gate_out(conn), bytes.at, bytes.len) == 0);
}

static struct buf *room_of(struct http_conn *conn)
{
    return conn->gate->writer == conn ? &conn->gate->pending : &conn->gate->room;
}

char *gate_room(struct http_conn *conn, size_t most)
{
    struct buf *b = room_of(conn);
    buf_reserve(b, most);
    return b->at + b->len;
}

void gate_wrote(struct http_conn *conn, size_t len)
{
    struct buf *b = room_of(conn);
    if (b == &conn->gate->pending)
        b->len += len;
    else
        gate_write(conn, slice_of(b->at, len));
}

void gate_push(struct http_conn *conn)
{
    conn_flush(conn);
    if (!conn_has_output(conn))
        return;
    event_add(&conn->writable, NULL);
    conn_watch(conn, false, clock_mono_us());
}

size_t gate_waiting(const struct http_conn *conn)
{
    return conn_output_bytes(conn) + (conn->gate->writer == conn ? conn->gate->pending.len : 0);
}

/* Whoever has not taken something is watched for it. */
static size_t sum_of_output(const struct gate *g)
{
    size_t bytes = 0;
    const struct http_conn *conn;
    TAILQ_FOREACH(conn, &g->lists[WATCH_SEND], watched)
    bytes += conn_output_bytes(conn);
    return bytes;
}

bool gate_is_over_memory(const struct http_conn *conn)
{
    struct gate *g = conn->gate;
    int64_t now_us = clock_mono_us();
    if (now_us - g->kept_at_us >= SUM_US) {
        g->kept_bytes = sum_of_output(g);
        g->kept_at_us = now_us;
    }
    return g->kept_bytes > (size_t)g->conf->stream_memory_bytes;
}

static void tell_room(struct http_conn *conn)
{
    struct http_request *request = conn->state == GATE_BUSY ? &conn->message->request : NULL;
    if (request != NULL && request->room != NULL && conn_output_bytes(conn) <= ROOM_BYTES)
        request->room(request->handler_arg);
}

/* Sends, and goes on reading what had been left because too much was not taken. */
void conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    int64_t now_us = clock_mono_us();
    doing(DOING_send);
    conn_send_out(conn, false, now_us);
    if (conn->choked && !conn_has_output(conn) && conn->state == GATE_READING)
        conn_go_on(conn, now_us);
    else
        tell_room(conn);
}
