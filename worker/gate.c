#include "worker/gate.h"
#include "common/clock.h"
#include "worker/gate_conn.h"
#include "worker/tls.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

void conn_end(struct http_conn *conn)
{
    if (conn->state == GATE_DEAD)
        return;
    conn->state = GATE_DEAD;
    conn_forget_output(conn);
    conn_watch(conn, false, 0);
    event_del(&conn->readable);
    event_del(&conn->writable);
    event_active(&conn->turn, EV_TIMEOUT, 1);
}

void conn_gone(struct http_conn *conn)
{
    struct gate_message *m = conn->message;
    bool busy = conn->state == GATE_BUSY;
    conn_end(conn);
    conn->message = NULL;
    if (m == NULL)
        return;
    m->request.conn = NULL;
    if (!busy)
        gate_message_destroy(m);
    else if (m->request.gone != NULL)
        m->request.gone(m->request.handler_arg);
}

/* Closed in order, an answer that only the connection's end ends would look whole; this resets it (connect(2)). A unix
 * socket cannot be reset: there the chunk that is missing tells. */
void gate_cut(struct http_conn *conn)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    (void)connect(conn->fd, &none, sizeof none);
    conn_gone(conn);
}

static void conn_free(void *arg)
{
    struct http_conn *conn = arg;
    struct gate *g = conn->gate;
    if (conn->state != GATE_DEAD && conn->state != GATE_STARTING)
        conn_gone(conn); /* evhttp ended it */
    event_del(&conn->turn);
    conn_end_tls(conn);
    if (conn->sealed != NULL)
        evbuffer_free(conn->sealed);
    if (conn->out != NULL)
        evbuffer_free(conn->out);
    buf_deinit(&conn->in);
    free(conn);
    g->connections--;
    g->calls.changed(g->arg);
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

void gate_hold(struct http_conn *conn)
{
    bufferevent_disable(conn->shell, EV_WRITE);
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
    event_assign(&conn->readable, g->base, conn->fd, EV_READ | EV_PERSIST, conn_on_readable, conn);
    event_assign(&conn->writable, g->base, conn->fd, EV_WRITE, conn_on_writable, conn);
    if (g->behind_proxy)
        conn->state = GATE_PROXY;
    else
        conn_know_peer(conn);
    event_add(&conn->readable, NULL);
    conn_watch(conn, true, clock_mono_us());
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

static void on_turn_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct gate *g = arg;
    g->turn_us = 0;
}

void gate_init(struct gate *g, struct event_base *base, const struct conf *conf, const struct gate_calls *calls,
               void *arg)
{
    *g = (struct gate){.base = base, .conf = conf, .calls = *calls, .arg = arg};
    for (int i = 0; i < WATCH_COUNT; i++)
        TAILQ_INIT(&g->lists[i]);
    event_assign(&g->turn_over, base, -1, 0, on_turn_over, g);
    event_assign(&g->overdue, base, -1, 0, gate_on_overdue, g);
    g->scratch_bytes = (size_t)MAX(conf->max_head_bytes, (int64_t)IN_MAX) + 2 * READ_BYTES;
    g->scratch = xmalloc(g->scratch_bytes);
    g->received = xmalloc(SEALED_BYTES);
}

void gate_deinit(struct gate *g)
{
    event_del(&g->turn_over);
    event_del(&g->overdue);
    buf_deinit(&g->pending);
    buf_deinit(&g->room);
    free(g->scratch);
    free(g->received);
}

void *gate_arg(const struct http_conn *conn)
{
    return conn->gate->arg;
}
