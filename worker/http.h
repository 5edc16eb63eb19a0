/* The door to evhttp: nothing else in perfd knows it. A request comes in as slices, exactly one http_reply() ends it.
 */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H

#include "common/conf.h"
#include "common/slice.h"

struct event_base;
struct http;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };
extern const char *const http_method_names[];

struct http_header {
    const char *name;
    const char *value;
};

/* release NULL: the bytes are the caller's and are copied. Else they are borrowed until release(arg) comes, exactly
 * once, and is_wanted(arg) tells whether it is waited for. */
struct http_body {
    struct slice bytes;
    void (*release)(void *arg);
    bool (*is_wanted)(void *arg);
    void *arg;
};

struct http_request {
    enum http_method method;
    struct slice target; /* as sent */
    struct slice body;
    size_t head_bytes; /* of the request line and the header fields */
    char remote[46];
    int64_t started_us; /* CLOCK_MONOTONIC: when the loop saw the request's last bytes */
    void *user;         /* the listener's argument of http_listen() */
    struct http_conn *conn;
    void *hold;
};

typedef void http_handler(void *arg, struct http_request *request);

/* addresses: those that its sockets are bound to, by which it knows its connections. */
struct http *http_create(struct event_base *base, const struct conf *conf, const struct conf_listens *addresses,
                         http_handler *handler, void *arg) MUST_USE;
void http_destroy(struct http **http);

/* Accept on a bound, listening, non-blocking socket; its descriptor stays open when listening ends. */
bool http_listen(struct http *http, int fd) MUST_USE;

/* First value of a request header, empty when absent. */
struct slice http_header_in(const struct http_request *request, const char *name);

/* Ends the request: it must not be touched afterwards. For HEAD the body's length is announced, nothing is sent. */
void http_reply(struct http_request *request, int status, const struct http_header *headers, int count,
                const struct http_body *body);
/* Now and then: borrowed bodies that slow consumers hold back are copied and given back. */
void http_tick(struct http *http, int64_t now_us);
int http_lent(const struct http *http); /* borrowed bodies on their way */

/* Stop accepting; answers carry Connection: close from now on. */
void http_drain(struct http *http);
/* Close what has been idle for keepalive_min: no request under way or half received, no answer half sent; returns the
 * connections that are left. Call it now and then. */
int http_drain_step(struct http *http, int64_t now_us);
int http_connections(const struct http *http);

#endif
