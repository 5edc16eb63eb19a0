#include "worker/http.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/http_loan.h"
#include "worker/problem.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <linux/tcp.h> /* its tcp_info is the longer one */
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* evhttp answers what passes its own limits with a bare page of its own, so they stand far above ours. */
enum { EVHTTP_HEAD_BYTES = 4 << 20, EVHTTP_BODY_SLACK = 8 << 20, LISTENERS_MAX = 256 };
/* Of a large body at a time: libevent's own 16 KiB cost a turn of the loop each. */
enum { WRITE_BYTES = 256 << 10 };

const char *const http_method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"};

struct http_conn {
    struct http *http;
    struct evhttp_connection *evcon;
    int fd;
    bool busy;
    int64_t last_us;
    uint64_t received; /* bytes that ever came in */
    uint64_t consumed; /* of them, up to the end of the last whole request */
};

struct http {
    struct evhttp *ev;
    struct event_base *base;
    const struct conf *conf;
    const struct conf_listens *addresses;
    http_handler *handler;
    void *arg;
    struct http_conn **by_fd;
    int fd_count;
    int connections;
    struct evconnlistener *listeners[LISTENERS_MAX];
    int listener_count;
    struct http_loans loans;
    bool draining;
    int64_t drain_started_us;
};

static enum http_method method_of(struct evhttp_request *ev)
{
    switch (evhttp_request_get_command(ev)) {
    case EVHTTP_REQ_GET:
        return HTTP_GET;
    case EVHTTP_REQ_HEAD:
        return HTTP_HEAD;
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_PUT:
        return HTTP_PUT;
    case EVHTTP_REQ_PATCH:
        return HTTP_PATCH;
    case EVHTTP_REQ_DELETE:
        return HTTP_DELETE;
    case EVHTTP_REQ_OPTIONS:
        return HTTP_OPTIONS;
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
        break;
    }
    return HTTP_OTHER;
}

static void conn_closed(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    struct http_conn *c = arg;
    c->http->by_fd[c->fd] = NULL;
    c->http->connections--;
    free(c);
}

static void count_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    (void)input;
    struct http_conn *c = arg;
    c->received += info->n_added;
}

static struct bufferevent *stream_of(const struct http_conn *c)
{
    return evhttp_connection_get_bufferevent(c->evcon);
}

/* Nothing of a next request came, and the last answer has gone out. */
static bool is_idle(const struct http_conn *c)
{
    return !c->busy && c->received == c->consumed && evbuffer_get_length(bufferevent_get_output(stream_of(c))) == 0;
}

/* evhttp keeps no pointer of ours with a connection, so it is found by its descriptor. */
static struct http_conn *conn_of(struct http *http, struct evhttp_connection *evcon)
{
    int fd = (int)bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    CHECK(fd >= 0);
    if (fd >= http->fd_count) {
        int count = MAX(fd + 1, http->fd_count * 2);
        http->by_fd = xrealloc(http->by_fd, (size_t)count * sizeof *http->by_fd);
        memset(http->by_fd + http->fd_count, 0, (size_t)(count - http->fd_count) * sizeof *http->by_fd);
        http->fd_count = count;
    }
    struct http_conn *c = http->by_fd[fd];
    if (c == NULL) {
        c = xcalloc(1, sizeof *c);
        *c = (struct http_conn){.http = http, .evcon = evcon, .fd = fd};
        struct evbuffer *input = bufferevent_get_input(stream_of(c));
        c->received = evbuffer_get_length(input);
        bufferevent_set_max_single_write(stream_of(c), WRITE_BYTES);
        CHECK(evbuffer_add_cb(input, count_input, c) != NULL);
        http->by_fd[fd] = c;
        http->connections++;
        evhttp_connection_set_closecb(evcon, conn_closed, c);
    }
    return c;
}

/* The request has waited since the loop woke up, behind those that were ready with it. */
static int64_t loop_woke_us(struct event_base *base)
{
    struct timeval woke, now;
    event_base_gettimeofday_cached(base, &woke);
    evutil_gettimeofday(&now, NULL);
    int64_t waited = (now.tv_sec - woke.tv_sec) * US_PER_S + now.tv_usec - woke.tv_usec;
    return clock_mono_us() - MAX(waited, INT64_C(0));
}

/* `name: value` and the line's end. */
static size_t head_bytes_of(struct evhttp_request *ev, size_t uri_len)
{
    size_t bytes = uri_len + sizeof "OPTIONS  HTTP/1.1\r\n\r\n";
    struct evkeyval *field;
    TAILQ_FOREACH(field, evhttp_request_get_input_headers(ev), next)
    bytes += strlen(field->key) + strlen(field->value) + sizeof ": \r";
    return bytes;
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    struct http *http = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    struct evbuffer *in = evhttp_request_get_input_buffer(ev);
    const char *uri = evhttp_request_get_uri(ev);
    char *address = NULL;
    ev_uint16_t port = 0;
    struct http_request *r = xcalloc(1, sizeof *r);
    size_t body_len = evbuffer_get_length(in);

    evhttp_connection_get_peer(evcon, &address, &port);
    snprintf(r->remote, sizeof r->remote, "%s", address ? address : "");
    r->method = method_of(ev);
    r->target = slice_str(uri ? uri : "");
    r->body = slice_of(body_len ? (const char *)evbuffer_pullup(in, -1) : "", body_len);
    r->head_bytes = head_bytes_of(ev, r->target.len);
    r->started_us = loop_woke_us(http->base);
    r->conn = conn_of(http, evcon);
    r->conn->busy = true;
    r->conn->consumed = r->conn->received - evbuffer_get_length(bufferevent_get_input(stream_of(r->conn)));
    r->hold = ev;
    r->user = http->arg;
    /* The connection may go before the answer is there; its record goes with it. */
    http->handler(http->arg, r);
}

struct http *http_create(struct event_base *base, const struct conf *conf, const struct conf_listens *addresses,
                         http_handler *handler, void *arg)
{
    struct http *http = xcalloc(1, sizeof *http);
    http->base = base;
    http->conf = conf;
    http->addresses = addresses;
    http->handler = handler;
    http->arg = arg;
    http->ev = evhttp_new(base);
    CHECK(http->ev != NULL);
    evhttp_set_default_content_type(http->ev, NULL);
    evhttp_set_allowed_methods(http->ev, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                             EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                             EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT);
    evhttp_set_max_headers_size(http->ev, EVHTTP_HEAD_BYTES);
    evhttp_set_max_body_size(http->ev, conf->max_body_bytes + EVHTTP_BODY_SLACK);
    struct timeval idle = {conf->keepalive_timeout_us / US_PER_S, conf->keepalive_timeout_us % US_PER_S};
    evhttp_set_timeout_tv(http->ev, &idle);
    evhttp_set_flags(http->ev, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_gencb(http->ev, on_request, http);
    return http;
}

void http_destroy(struct http **http)
{
    if (*http == NULL)
        return;
    evhttp_free((*http)->ev);
    free((*http)->by_fd);
    free(*http);
    *http = NULL;
}

bool http_listen(struct http *http, int fd)
{
    if (http->listener_count == LISTENERS_MAX)
        return false;
    /* Without LEV_OPT_CLOSE_ON_FREE: the socket stays open when listening ends. */
    struct evconnlistener *listener = evconnlistener_new(http->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener == NULL || evhttp_bind_listener(http->ev, listener) == NULL)
        return false;
    http->listeners[http->listener_count++] = listener;
    return true;
}

struct slice http_header_in(const struct http_request *request, const char *name)
{
    return slice_str(evhttp_find_header(evhttp_request_get_input_headers(request->hold), name));
}

void http_reply(struct http_request *request, int status, const struct http_header *headers, int count,
                const struct http_body *body)
{
    struct evhttp_request *ev = request->hold;
    struct evkeyvalq *out = evhttp_request_get_output_headers(ev);
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    for (int i = 0; i < count; i++)
        if (evhttp_add_header(out, headers[i].name, headers[i].value) != 0)
            log_warn("header %s has a value that HTTP does not allow; left out", headers[i].name);
    if (evcon != NULL) {
        request->conn->busy = false;
        request->conn->last_us = clock_mono_us();
        if (request->conn->http->draining)
            evhttp_add_header(out, "Connection", "close");
    }
    struct evbuffer *buffer = NULL;
    bool lent = false;
    if (request->method == HTTP_HEAD) {
        char length[24];
        snprintf(length, sizeof length, "%zu", body->bytes.len);
        if (status != 204 && status != 304)
            evhttp_add_header(out, "Content-Length", length);
    } else if (body->bytes.len > 0 && evcon != NULL) {
        buffer = evbuffer_new();
        CHECK(buffer != NULL);
        lent = body->release != NULL;
        if (lent)
            http_loan_add(&request->conn->http->loans, buffer, stream_of(request->conn), body, clock_mono_us());
        else
            CHECK(evbuffer_add(buffer, body->bytes.at, body->bytes.len) == 0);
    }
    if (body->release != NULL && !lent)
        body->release(body->arg);
    /* evhttp's own phrases are those of RFC 2616. */
    evhttp_send_reply(ev, status, status >= 400 ? problem_title(status) : NULL, buffer);
    if (buffer != NULL)
        evbuffer_free(buffer);
    free(request);
}

void http_drain(struct http *http)
{
    http->draining = true;
    http->drain_started_us = clock_mono_us();
    for (int i = 0; i < http->listener_count; i++)
        evconnlistener_disable(http->listeners[i]);
    http->listener_count = 0;
}

/* A connection to one of our own addresses, as against the database's, Redis's and the listeners. */
static bool is_ours(int fd, const struct conf_listens *addresses)
{
    struct sockaddr_storage own, peer;
    socklen_t own_len = sizeof own, peer_len = sizeof peer;
    if (getsockname(fd, (struct sockaddr *)&own, &own_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
        return false;
    int port = -1;
    if (own.ss_family == AF_INET)
        port = ntohs(((struct sockaddr_in *)&own)->sin_port);
    else if (own.ss_family == AF_INET6)
        port = ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
    for (int i = 0; i < addresses->count; i++)
        if (atoi(addresses->at[i].port) == port)
            return true;
    return false;
}

static bool has_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_bytes_received > 0;
}

/* A connection whose first request is not whole yet is known to evhttp alone. One that has not sent a byte goes: the
 * end of its stream makes evhttp drop it. */
static int close_silent(struct http *http, bool due)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int left = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        bool known = fd < http->fd_count && http->by_fd[fd] != NULL;
        if (known || !is_ours(fd, http->addresses))
            continue;
        left++;
        if (due && !has_received(fd))
            shutdown(fd, SHUT_RDWR);
    }
    if (dir != NULL)
        closedir(dir);
    return left;
}

int http_drain_step(struct http *http, int64_t now_us)
{
    int64_t before_us = now_us - http->conf->keepalive_min_us;
    for (int fd = 0; fd < http->fd_count; fd++) {
        struct http_conn *c = http->by_fd[fd];
        if (c != NULL && is_idle(c) && MAX(c->last_us, http->drain_started_us) < before_us)
            evhttp_connection_free(c->evcon);
    }
    return http->connections + close_silent(http, http->drain_started_us < before_us);
}

void http_tick(struct http *http, int64_t now_us)
{
    http_loans_return(&http->loans, now_us);
}

int http_lent(const struct http *http)
{
    return http->loans.count;
}

int http_connections(const struct http *http)
{
    return http->connections;
}
