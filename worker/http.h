/* The door to HTTP. A request comes in as slices, exactly one http_reply() ends it. Behind it stand the gate (gate.h),
 * which reads, frames and writes, and evhttp, which hands on what the gate cannot answer at once. */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H

#include "common/conf.h"
#include "worker/forwarded.h"

struct event_base;
struct gate_message;
struct http;
struct offload;
struct tls;

/* The NUL behind each is there, and not counted. */
struct http_header {
    struct slice name; /* empty: value is whole fields, each with its CRLF */
    struct slice value;
};

/* release NULL: the bytes are the caller's and are copied. Else they are borrowed until release(arg) comes, exactly
 * once, and is_wanted(arg) tells whether it is waited for. */
struct http_body {
    struct slice bytes;
    void (*release)(void *arg);
    bool (*is_wanted)(void *arg);
    void *arg;
};

struct http_request;
struct problem;

/* Where an answer comes from, as far as it concerns who makes another one of it. */
struct http_origin {
    bool foreign; /* its body was made elsewhere: it need not be what its Content-Type says */
    bool lags;    /* it was in memory here, or on a replica: what Redis has heard of may not be in it yet */
    bool unkept;  /* whoever made it, or a part of it, says that it must not be kept */
    bool shrunk;  /* it lacks a part because of an error */
    bool own;     /* and that was this request's own: its quota, its time */
};

/* Who takes an answer in place of a connection: what http_reply() and http_stream_*() are told, within the call. */
struct http_taker {
    void (*reply)(struct http_request *request, int status, const struct http_header *headers, int count,
                  const struct http_body *body);
    void (*begin)(struct http_request *request, int status, const struct http_header *headers, int count);
    void (*add)(struct http_request *request, struct slice bytes);
    bool (*is_full)(const struct http_request *request);
    void (*end)(struct http_request *request, bool whole);
};

struct http_request {
    const struct http_head *head;
    enum http_method method;
    struct slice target; /* a path and query, "*", or what an absolute form has behind its authority */
    struct slice body;
    struct http_refusal refusal; /* its status is not 0: the bytes were no request, this is the answer */
    char remote[ADDRESS_BYTES];  /* of the consumer, or "" */
    int64_t started_us;          /* CLOCK_MONOTONIC: when its last bytes were seen */
    int64_t ended_us;            /* the handler's, if it knows: when its answer was made */
    void *user;                  /* http_create()'s argument */
    bool early;                  /* http_hit() wants it answered by a fetch although its answer is fresh still */
    /* The handler's: called at most once, when the consumer has gone before it was answered; it is answered all the
     * same. */
    void (*gone)(void *arg);
    /* The handler's, of one that answers in pieces: the consumer has taken most of what was sent. From the loop. */
    void (*room)(void *arg);
    void *handler_arg;
    /* The handler's, for a taker: what the answer tells where it is a problem, and of what it is made. */
    const struct problem *problem;
    struct http_origin origin;
    /* Of one that was made within the process, inside another one. */
    const struct http_taker *taker; /* NULL: a connection has it */
    bool forsaken;                  /* nobody waits for its answer */
    const struct http_head *asker;  /* of the consumer who asked for the outermost one; NULL: nobody did */
    struct slice id;                /* with its NUL */
    int depth;                      /* in how many others it is */
    int64_t deadline_us;            /* CLOCK_MONOTONIC */
    /* The door's own. */
    struct http_conn *conn; /* NULL: gone */
    struct gate_message *message;
    void *hold;
    bool closes; /* the connection, with an answer in pieces */
};

struct http_handlers {
    /* Answers within the call and returns true, or does nothing. The request is gone afterwards, whichever it was. */
    bool (*hit)(void *arg, struct http_request *request);
    void (*handle)(void *arg, struct http_request *request); /* answers now or later */
    bool behind_proxy;                                       /* if there is one: conf->proxy_protocol counts */
};

/* tls NULL: without. offload: for its handshakes; NULL: the loop does them. */
struct http *http_create(struct event_base *base, const struct conf *conf, const struct tls *tls,
                         struct offload *offload, const struct http_handlers *handlers, void *arg) MUST_USE;
void http_destroy(struct http **http);

/* Accept on a bound, listening, non-blocking socket, for the first time or again; its descriptor stays open when
 * listening ends. */
bool http_listen(struct http *http, int fd) MUST_USE;
void http_unlisten(struct http *http, int fd);

/* Nobody waits for the answer any more. */
static inline bool http_is_gone(const struct http_request *request)
{
    return request->taker != NULL ? request->forsaken : request->conn == NULL;
}

/* First value of a request header, empty when absent. */
static inline struct slice http_header_in(const struct http_request *request, const char *name)
{
    return http_head_field(request->head, name, strlen(name));
}

/* The same for a field whose value is a list, over all lines that it has. */
static inline struct slice http_list_in(const struct http_request *request, const char *name, struct arena *arena)
{
    return http_head_list(request->head, name, strlen(name), arena);
}

/* Ends the request: it must not be touched afterwards. For HEAD the body's length is announced, nothing is sent. Date,
 * Content-Length and Connection are added. */
void http_reply(struct http_request *request, int status, const struct http_header *headers, int count,
                const struct http_body *body);

/* An answer whose length is not known when it begins; instead of http_reply(). Nothing is sent within these calls, so
 * `gone` does not come from them. HTTP/1.0 has no pieces: the connection's end is the answer's there. */
void http_stream_begin(struct http_request *request, int status, const struct http_header *headers, int count);
void http_stream_add(struct http_request *request, struct slice bytes);
/* So much waits for the consumer to take it that more should not be made before `room` comes: a megabyte, or less while
 * all consumers together leave more than stream_memory. */
bool http_stream_is_full(const struct http_request *request);
/* Ends the request. whole false: in a way that the consumer sees that something is missing. */
void http_stream_end(struct http_request *request, bool whole);

/* A few times a second: connections that have waited too long end; borrowed bodies that slow consumers hold back are
 * copied and given back. */
void http_tick(struct http *http, int64_t now_us);
int http_lent(const struct http *http); /* borrowed bodies on their way */

/* Stop accepting; answers carry Connection: close from now on. */
void http_drain(struct http *http);
/* Close what has been idle for keepalive_min: no request under way or half received, no answer half sent; returns the
 * connections that are left. */
int http_drain_step(struct http *http, int64_t now_us);
int http_connections(const struct http *http);

#endif
