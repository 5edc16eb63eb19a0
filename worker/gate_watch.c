#include "common/clock.h"
#include "worker/gate_conn.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#define LINGER_US (2 * US_PER_S)
/* By so much a connection may be thought idle too early: a busy one need not change its place in the list, and touch
 * its neighbours, with each request. */
#define GRAIN_US (10 * US_PER_MS)

/* Of ending those whose time is over, at a time. */
enum { EXPIRE_US = 50 };
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
        if (conn_has_output(conn))
            return WATCH_SEND;
        if (!conn->heard)
            return WATCH_NEW;
        return conn->in.len > 0 || conn_is_handshaking(conn) ? WATCH_HEAD : WATCH_IDLE;
    case GATE_BODY:
        return conn_has_output(conn) ? WATCH_SEND : WATCH_BODY;
    case GATE_BUSY:
        return conn_has_output(conn) ? WATCH_SEND : conn->choked ? WATCH_DEAF : WATCH_NONE;
    case GATE_ENDING:
        return conn_has_output(conn) ? WATCH_SEND : WATCH_NONE;
    }
    return WATCH_NONE;
}

/* Bytes that the consumer has not acknowledged. */
static int queued_for(const struct http_conn *conn)
{
    int bytes = 0;
    return ioctl(conn->fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

void conn_watch(struct http_conn *conn, bool moved, int64_t now_us)
{
    struct gate *g = conn->gate;
    enum gate_watch watch = watch_for(conn);
    if (watch == conn->watch && (!moved || (watch == WATCH_IDLE && now_us - conn->watched_us < GRAIN_US)))
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

/* ---- time ---- */

/* The kernel takes much at a time, and asks for more only when it has got rid of a good part: a slow consumer is one
 * that takes nothing from the kernel. */
static bool takes_something(struct http_conn *conn, int64_t now_us)
{
    if (conn->watch != WATCH_SEND || queued_for(conn) >= conn->queued)
        return false;
    conn_watch(conn, true, now_us);
    return true;
}

static void expire(struct http_conn *conn, int64_t now_us)
{
    static const struct http_refusal late = {408, "request_timeout", "the request did not come in time"};
    if (conn->state != GATE_PROXY && !conn_is_handshaking(conn) &&
        (conn->watch == WATCH_HEAD || conn->watch == WATCH_BODY))
        conn_refuse(conn, HTTP_OTHER, buf_slice(&conn->in), &late, now_us);
    else if (!takes_something(conn, now_us))
        conn_gone(conn);
}

/* Their ends are not read, as what comes before it is not. */
static void end_deaf(struct gate *g)
{
    struct http_conn *conn, *next;
    for (conn = TAILQ_FIRST(&g->lists[WATCH_DEAF]); conn != NULL; conn = next) {
        struct pollfd end = {conn->fd, POLLRDHUP, 0};
        next = TAILQ_NEXT(conn, watched);
        if (poll(&end, 1, 0) > 0)
            conn_gone(conn);
    }
}

/* What is due, for a moment; then others get their turn, as thousands may be due at once. Returns in how many
 * microseconds the next one is due; 0: now. */
static int64_t expire_some(struct gate *g)
{
    const int64_t times_us[WATCH_COUNT] = {[WATCH_NEW] = g->conf->keepalive_timeout_us,
                                           [WATCH_IDLE] = g->conf->keepalive_timeout_us,
                                           [WATCH_HEAD] = g->conf->head_timeout_us,
                                           [WATCH_BODY] = g->conf->body_timeout_us,
                                           [WATCH_SEND] = g->conf->send_timeout_us,
                                           [WATCH_DEAF] = INT64_MAX,
                                           [WATCH_LINGER] = LINGER_US};
    const int64_t began_us = clock_mono_us();
    int64_t now_us = began_us, next_us = INT64_MAX;
    for (int i = 0; i < WATCH_COUNT; i++) {
        struct http_conn *conn;
        int64_t left_us = INT64_MAX;
        while ((conn = TAILQ_FIRST(&g->lists[i])) != NULL) {
            left_us = times_us[i] - (now_us - conn->watched_us);
            if (left_us > 0)
                break;
            if (now_us - began_us >= EXPIRE_US)
                return 0;
            expire(conn, now_us);
            now_us = clock_mono_us();
        }
        next_us = MIN(next_us, conn != NULL ? left_us : INT64_MAX);
    }
    return next_us;
}

/* Each when its time has come, and not all with the next tick: those who come again together would stay together. */
static void expire_due(struct gate *g)
{
    int64_t next_us = expire_some(g);
    const struct timeval pause = {0, (suseconds_t)next_us};
    if (next_us < US_PER_S) /* gate_tick() comes before that */
        event_add(&g->overdue, &pause);
}

void gate_on_overdue(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    expire_due(arg);
}

void gate_tick(struct gate *g)
{
    expire_due(g);
    end_deaf(g);
}

void gate_end_idle(struct gate *g, int64_t before_us)
{
    static const enum gate_watch idle[] = {WATCH_NEW, WATCH_IDLE};
    struct http_conn *conn;
    for (size_t i = 0; i < ARRAY_LEN(idle); i++)
        while ((conn = TAILQ_FIRST(&g->lists[idle[i]])) != NULL && conn->watched_us < before_us)
            conn_gone(conn);
}

bool gate_end_one(struct gate *g)
{
    struct http_conn *conn = TAILQ_FIRST(&g->lists[WATCH_IDLE]);
    if (conn != NULL)
        conn_gone(conn);
    return conn != NULL;
}
