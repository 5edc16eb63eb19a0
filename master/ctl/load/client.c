#include "master/ctl/load/client.h"
#include "common/buf.h"
#include "master/ctl/load/answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum client_state { CLOSED, IDLE, CONNECTING, WRITING, READING, FAILING };

struct client {
    struct client_world *world;
    client_done *done;
    void *owner;
    enum client_state state;
    bool used;   /* the connection has carried an answer */
    bool before; /* there has been a connection */
    enum outcome failure;
    int fd;
    struct event *readable, *writable; /* of the connection */
    struct event *deadline;
    struct buf request;
    size_t sent;
    int64_t bytes;
    struct answer answer;
};

/* ---- the connection ---- */

static void disconnect(struct client *c)
{
    if (c->state == CLOSED)
        return;
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->writable != NULL)
        event_free(c->writable);
    if (c->fd >= 0)
        close(c->fd);
    c->readable = c->writable = NULL;
    c->fd = -1;
    c->state = CLOSED;
}

static void finish(struct client *c, enum outcome outcome)
{
    struct client_result result = {outcome, c->answer.status, c->bytes};
    bool whole = outcome == OUTCOME_answered && c->sent == c->request.len; /* an early answer: the rest is not wanted */
    event_del(c->deadline);
    if (whole && c->answer.keep_alive) {
        c->state = IDLE;
        c->used = true;
    } else {
        disconnect(c);
    }
    c->done(c->owner, &result);
}

static void connect_to(struct client *c);

/* May be sent twice and does the same as once. */
static bool is_idempotent(struct slice request)
{
    return !slice_begins(request, SLICE("POST ")) && !slice_begins(request, SLICE("PATCH "));
}

/* The connection ended under a request. */
static void lose(struct client *c)
{
    bool closed_idle = c->used && !c->answer.begun;
    disconnect(c);
    if (closed_idle && is_idempotent(buf_slice(&c->request)))
        connect_to(c);
    else
        finish(c, OUTCOME_lost);
}

/* ---- reading ---- */

/* False: the client is done with it. */
static bool take_bytes(struct client *c, size_t len)
{
    size_t taken = answer_read(&c->answer, c->world->scratch, len);
    c->bytes += (int64_t)len;
    if (c->answer.state == ANSWER_MALFORMED || taken < len)
        finish(c, OUTCOME_malformed);
    else if (c->answer.state == ANSWER_WHOLE)
        finish(c, OUTCOME_answered);
    else
        return true;
    return false;
}

/* Nothing may come while no request is under way, but the end. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    ssize_t len = recv(fd, c->world->scratch, CLIENT_READ_BYTES, 0);
    (void)what;
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (c->state == IDLE)
        disconnect(c);
    else if (len > 0)
        (void)take_bytes(c, (size_t)len);
    else if (len == 0 && answer_end(&c->answer))
        finish(c, OUTCOME_answered);
    else
        lose(c);
}

/* ---- writing ---- */

/* An answer may come before the request is out, and is read then. */
static void write_more(struct client *c)
{
    while (c->sent < c->request.len) {
        ssize_t len = send(c->fd, c->request.at + c->sent, c->request.len - c->sent, MSG_NOSIGNAL);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno != EAGAIN)
            break; /* reading tells */
        if (len < 0) {
            c->state = WRITING;
            event_add(c->writable, NULL);
            return;
        }
        c->sent += (size_t)len;
    }
    c->state = READING;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    int error = 0;
    socklen_t len = sizeof error;
    (void)what;
    if (c->state == CONNECTING && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)) {
        finish(c, OUTCOME_no_connection);
        return;
    }
    if (c->state == CONNECTING) {
        c->world->opened++;
        c->world->again += c->before;
        c->before = true;
        event_add(c->readable, NULL);
    }
    write_more(c);
}

/* ---- requests ---- */

/* The callback must not come inside client_send(). */
static void fail_later(struct client *c, enum outcome outcome)
{
    c->failure = outcome;
    c->state = FAILING;
    event_active(c->deadline, EV_TIMEOUT, 1);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void)fd, (void)what;
    finish(c, c->state == FAILING ? c->failure : OUTCOME_timed_out);
}

static void connect_to(struct client *c)
{
    const struct client_world *w = c->world;
    int on = 1;
    c->fd = socket(w->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->used = false;
    c->sent = 0;
    if (c->fd < 0 ||
        (connect(c->fd, (const struct sockaddr *)&w->address, w->address_len) != 0 && errno != EINPROGRESS)) {
        fail_later(c, OUTCOME_no_connection);
        return;
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    c->readable = event_new(w->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(w->base, c->fd, EV_WRITE, on_writable, c);
    CHECK(c->readable != NULL && c->writable != NULL);
    event_add(c->writable, NULL);
}

void client_send(struct client *c, struct slice bytes)
{
    CHECK(c->state == CLOSED || c->state == IDLE);
    c->request.len = 0;
    c->sent = 0;
    c->bytes = 0;
    buf_add(&c->request, bytes.at, bytes.len);
    answer_reset(&c->answer, slice_begins(bytes, SLICE("HEAD ")));
    event_add(c->deadline, c->world->timeout);
    if (c->state == CLOSED)
        connect_to(c);
    else
        write_more(c);
}

struct client *client_create(struct client_world *world, client_done *done, void *owner)
{
    struct client *c = xcalloc(1, sizeof *c);
    c->world = world;
    c->done = done;
    c->owner = owner;
    c->fd = -1;
    c->deadline = evtimer_new(world->base, on_deadline, c);
    CHECK(c->deadline != NULL);
    return c;
}

void client_destroy(struct client **doomed)
{
    struct client *c = *doomed;
    *doomed = NULL;
    if (c == NULL)
        return;
    disconnect(c);
    event_free(c->deadline);
    buf_deinit(&c->request);
    free(c);
}
