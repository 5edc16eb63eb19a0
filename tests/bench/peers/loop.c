/* The floor of an answer over HTTP on libevent: an `event` for each connection, a parser of its own, one recv and one
 * send a request. Nothing is logged, counted, timed or limited.
 *
 *     loop PORT FOLDER      serves the files of FOLDER as /body/NAME until a signal ends it
 *
 * It reads a whole head, field by field, as every server must to know whether the connection stays open; the answers
 * are ready in memory (answers.h). Requests have no body; whatever else comes closes the connection. */
#include "tests/bench/peers/answers.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_BYTES = 8192 };

struct connection {
    struct event readable, writable;
    int fd;
    bool closing;        /* after the message under way */
    struct message rest; /* of the message under way; bytes 0: none is */
    size_t input_bytes;
    char input[INPUT_BYTES];
};

struct request {
    const char *path;
    size_t path_bytes;
    bool close;
};

static struct event_base *base;
static struct answers answers;

/* ---- the head ---- */

static const char *request_line(const char *line, const char *end, struct request *r)
{
    static const char method[] = "GET ", version[] = " HTTP/1.1\r";
    size_t method_bytes = sizeof method - 1, version_bytes = sizeof version - 1;
    if ((size_t)(end - line) < method_bytes + version_bytes || memcmp(line, method, method_bytes) != 0 ||
        memcmp(end - version_bytes, version, version_bytes) != 0)
        return NULL;
    r->path = line + method_bytes;
    r->path_bytes = (size_t)(end - line) - method_bytes - version_bytes;
    return end + 1;
}

static bool is_named(const char *name, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && strncasecmp(name, wanted, bytes) == 0;
}

/* line up to end, the line feed. False: it is no field, or one of a request with a body. */
static bool field(const char *line, const char *end, struct request *r)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (colon == NULL || colon == line || end[-1] != '\r')
        return false;
    size_t name_bytes = (size_t)(colon - line);
    const char *value = colon + 1;
    while (*value == ' ' || *value == '\t')
        value++;
    if (is_named(line, name_bytes, "connection"))
        r->close = is_named(value, (size_t)(end - 1 - value), "close");
    return !is_named(line, name_bytes, "content-length") && !is_named(line, name_bytes, "transfer-encoding");
}

/* How long the head is; 0: it is not complete; -1: it is none. */
static ssize_t head(const char *input, size_t input_bytes, struct request *r)
{
    const char *at = input, *end, *stop = input + input_bytes;
    *r = (struct request){0};
    while ((end = memchr(at, '\n', (size_t)(stop - at))) != NULL) {
        if (at == input) {
            if ((at = request_line(at, end, r)) == NULL)
                return -1;
            continue;
        }
        if (end - at == 1 && *at == '\r')
            return end + 1 - input;
        if (!field(at, end, r))
            return -1;
        at = end + 1;
    }
    return 0;
}

/* ---- a connection ---- */

static void connection_end(struct connection *c)
{
    event_del(&c->readable);
    event_del(&c->writable);
    close(c->fd);
    free(c);
}

/* False: the connection is broken. What the socket does not take waits for it in c->rest. */
static bool connection_send(struct connection *c)
{
    ssize_t sent = send(c->fd, c->rest.at, c->rest.bytes, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    c->rest.at += sent;
    c->rest.bytes -= (size_t)sent;
    return true;
}

/* Answers the requests in the buffer until one waits for the socket. False: the connection is over. */
static bool connection_answer(struct connection *c)
{
    size_t done = 0;
    while (done < c->input_bytes && c->rest.bytes == 0) {
        struct request r;
        ssize_t bytes = head(c->input + done, c->input_bytes - done, &r);
        if (bytes == 0)
            break;
        const struct answer *answer = bytes < 0 ? NULL : answers_find(&answers, r.path, r.path_bytes);
        if (answer == NULL)
            return false;
        done += (size_t)bytes;
        c->closing = r.close;
        c->rest = r.close ? answer->close : answer->keep;
        if (!connection_send(c) || (c->closing && c->rest.bytes == 0))
            return false;
    }
    c->input_bytes -= done;
    if (c->input_bytes > 0 && done > 0)
        memmove(c->input, c->input + done, c->input_bytes);
    return true;
}

/* While a message waits for the socket nothing more is read. */
static void connection_wait(struct connection *c)
{
    if (c->rest.bytes > 0) {
        event_del(&c->readable);
        event_add(&c->writable, NULL);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)what;
    ssize_t got = recv(fd, c->input + c->input_bytes, sizeof c->input - c->input_bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) { /* 0 also when the buffer is full: a head is never that long */
        connection_end(c);
        return;
    }
    c->input_bytes += (size_t)got;
    if (connection_answer(c))
        connection_wait(c);
    else
        connection_end(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd;
    (void)what;
    if (!connection_send(c) || (c->closing && c->rest.bytes == 0)) {
        connection_end(c);
        return;
    }
    if (c->rest.bytes > 0)
        return;
    event_del(&c->writable);
    event_add(&c->readable, NULL);
    if (connection_answer(c))
        connection_wait(c);
    else
        connection_end(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int peer_bytes,
                      void *arg)
{
    (void)listener;
    (void)peer;
    (void)peer_bytes;
    (void)arg;
    struct connection *c = malloc(sizeof *c);
    if (c == NULL)
        err(1, "malloc");
    c->fd = fd;
    c->closing = false;
    c->rest = (struct message){0};
    c->input_bytes = 0;
    if (event_assign(&c->readable, base, fd, EV_READ | EV_PERSIST, on_readable, c) != 0 ||
        event_assign(&c->writable, base, fd, EV_WRITE | EV_PERSIST, on_writable, c) != 0 ||
        event_add(&c->readable, NULL) != 0)
        errx(1, "event_add");
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    answers_set_date(&answers, time(NULL));
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(64, "usage: loop PORT FOLDER");
    answers_load(&answers, argv[2]);
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    struct event *second = event_new(base, -1, EV_PERSIST, on_second, NULL);
    event_add(second, &(struct timeval){1, 0});
    if (evconnlistener_new(base, on_accept, NULL, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0,
                           answers_listen(argv[1])) == NULL)
        errx(1, "evconnlistener_new");
    event_base_dispatch(base);
    return 1;
}
