#include "common/clock.h"
#include "shm/doing.h"
#include "worker/gate_conn.h"
#include "worker/tls.h"

#include <sys/socket.h>

/* The consumer has closed its side: gone when it waits for an answer that is not made yet. */
static void on_end_of_stream(struct http_conn *conn, int64_t now_us)
{
    event_del(&conn->readable);
    if (conn->state == GATE_BUSY || conn->state == GATE_BODY || conn->state == GATE_LINGERING ||
        !conn_has_output(conn)) {
        conn_gone(conn);
        return;
    }
    conn->state = GATE_ENDING;
    conn->unread = false;
    buf_deinit(&conn->in);
    conn_send_out(conn, false, now_us); /* what TLS has said last waits for nothing yet */
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
    conn_send_sealed(conn);
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
    if (!tls_conn_is_open(conn->tls) && conn_shake(conn)) {
        errno = EAGAIN;
        return -1;
    }
    return read_sealed(conn, kept);
}

static ALWAYS_INLINE void take(struct http_conn *conn, size_t kept, size_t came, int64_t now_us)
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
    conn_consume(conn, slice_of(g->scratch, kept + came), now_us);
}

void conn_read_sealed(struct http_conn *conn, int64_t now_us)
{
    ssize_t n = read_sealed(conn, 0);
    if (n > 0)
        take(conn, 0, (size_t)n, now_us);
    else if (n == 0)
        on_end_of_stream(conn, now_us);
    else if (conn_has_output(conn))
        conn_send_out(conn, false, now_us);
    else
        conn_watch(conn, false, now_us); /* a handshake has one time for all of its steps */
}

/* What came behind the proxy's word is TLS. */
static void begin_sealed(struct http_conn *conn, int64_t now_us)
{
    tls_conn_feed(conn->tls, buf_slice(&conn->in));
    buf_deinit(&conn->in);
    if (conn_shake(conn))
        conn_watch(conn, true, now_us);
    else
        conn_read_sealed(conn, now_us);
}

void conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    struct gate *g = conn->gate;
    doing(DOING_gate);
    size_t kept = conn->state == GATE_LINGERING ? 0 : conn->in.len;
    if (kept >= g->scratch_bytes - READ_BYTES || (conn->state == GATE_BUSY && kept >= IN_MAX)) {
        conn->choked = true; /* until it is answered */
        event_del(&conn->readable);
        conn_watch(conn, false, clock_mono_us());
        return;
    }
    ssize_t n = receive(conn, kept);
    int64_t now_us = g->turn_us != 0 ? g->turn_us : clock_mono_us();
    if (n < 0 && would_block()) {
        conn->heard |= conn->tls != NULL;
        if (conn_has_output(conn))
            conn_send_out(conn, false, now_us);
        else
            conn_watch(conn, false, now_us); /* the handshake may be over */
        return;
    }
    if (n <= 0) {
        on_end_of_stream(conn, now_us);
        return;
    }
    conn->heard = true;
    if (conn->state == GATE_PROXY && conn->tls != NULL) {
        take(conn, kept, (size_t)n, now_us);
        if (conn->state == GATE_READING)
            begin_sealed(conn, now_us);
        return;
    }
    take(conn, kept, (size_t)n, now_us);
}
