/* The only place that knows libcurl: one HTTP connection at a time, in the hands of upstream.c.
 *
 * Each connection is an easy handle with a multi handle of its own. libcurl closes what idles in a shared multi handle
 * only when it makes something new there, and chooses for itself which one it uses; here each is used, kept and closed
 * as the pool says. What they share (addresses, TLS sessions, certificates of authorities) is in struct curl_shared. */
#ifndef WORKER_UPSTREAM_CURL_H
#define WORKER_UPSTREAM_CURL_H

#include "worker/upstream.h"

struct curl_shared;
struct curl_conn;

struct curl_result {
    struct upstream_outcome outcome;
    bool answered; /* the first bytes of an answer have come */
    bool opened;   /* a connection was made for it */
    bool stays;    /* the connection can be used again */
    bool resent;   /* libcurl found the connection closed and made another one */
};

struct curl_events {
    /* From the loop, once for each curl_conn_send(). */
    void (*ended)(void *arg, const struct curl_result *result);
    /* From the loop: the upstream has closed the connection while it was idle. */
    void (*lost)(void *arg);
};

/* Blocks for some milliseconds where certificates of authorities are read. NULL with err. */
struct curl_shared *curl_shared_create(struct event_base *base, const struct conf_upstream *conf,
                                       struct err *err) MUST_USE;
void curl_shared_destroy(struct curl_shared **shared);

/* Not connected yet: the first request does that. */
struct curl_conn *curl_conn_create(struct curl_shared *shared, const struct curl_events *events, void *arg) MUST_USE;
/* Cuts off what is under way; its `ended` does not come. */
void curl_conn_destroy(struct curl_conn **conn);
/* timeout_us: for all of it. */
void curl_conn_send(struct curl_conn *conn, const struct upstream_request *request, int64_t timeout_us);

#endif
