#include "worker/http.h"
#include "common/clock.h"
#include "worker/gate.h"
#include "worker/http_answer.h"
#include "worker/http_listener.h"

#include <event2/http.h>
#include <stdlib.h>

struct http {
    struct evhttp *ev;
    struct gate gate;
    const struct conf *conf;
    struct http_handlers handlers;
    void *arg;
    struct http_listeners listeners;
    struct http_answers answers;
    int64_t drain_started_us;
};

/* ---- requests ---- */

static bool on_hit(void *arg, struct http_request *request)
{
    struct http *http = arg;
    request->user = http->arg;
    return http->handlers.hit != NULL && http->handlers.hit(http->arg, request);
}

static void on_request(void *arg, struct http_request *request)
{
    struct http *http = arg;
    request->user = http->arg;
    http->handlers.handle(http->arg, request);
}

static void on_evhttp_request(struct evhttp_request *ev, void *arg)
{
    struct http *http = arg;
    on_request(http, gate_take(&http->gate, ev));
}

static void on_connections_changed(void *arg)
{
    struct http *http = arg;
    http_listeners_resume(&http->listeners, http->gate.connections);
}

struct http_answers *http_answers_of(const struct http_conn *conn)
{
    struct http *http = gate_arg(conn);
    return &http->answers;
}

/* ---- life ---- */

struct http *http_create(struct event_base *base, const struct conf *conf, const struct tls *tls,
                         struct offload *offload, const struct http_handlers *handlers, void *arg)
{
    static const struct gate_calls calls = {on_hit, on_request, on_connections_changed};
    struct http *http = xcalloc(1, sizeof *http);
    http->conf = conf;
    http->handlers = *handlers;
    http->arg = arg;
    gate_init(&http->gate, base, conf, &calls, http);
    http->gate.tls = tls;
    http->gate.offload = offload;
    http->gate.behind_proxy = handlers->behind_proxy && conf->proxy_protocol;
    http_listeners_init(&http->listeners, base, &http->gate, conf->max_connections);
    http->ev = evhttp_new(base);
    CHECK(http->ev != NULL);
    evhttp_set_default_content_type(http->ev, NULL);
    evhttp_set_allowed_methods(http->ev, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                             EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(http->ev, gate_accept, &http->gate);
    evhttp_set_gencb(http->ev, on_evhttp_request, http);
    return http;
}

void http_destroy(struct http **http)
{
    if (*http == NULL)
        return;
    evhttp_free((*http)->ev);
    gate_deinit(&(*http)->gate);
    free(*http);
    *http = NULL;
}

bool http_listen(struct http *http, int fd)
{
    return http_listeners_add(&http->listeners, http->ev, fd);
}

void http_unlisten(struct http *http, int fd)
{
    http_listeners_remove(&http->listeners, fd);
}

void http_drain(struct http *http)
{
    http->answers.last = true;
    http->drain_started_us = clock_mono_us();
    http_listeners_end(&http->listeners);
}

int http_drain_step(struct http *http, int64_t now_us)
{
    int64_t before_us = now_us - http->conf->keepalive_min_us;
    if (http->drain_started_us < before_us)
        gate_end_idle(&http->gate, before_us);
    return http->gate.connections;
}

void http_tick(struct http *http, int64_t now_us)
{
    gate_tick(&http->gate);
    http_loans_return(&http->answers.loans, now_us);
}

int http_lent(const struct http *http)
{
    return http->answers.loans.count;
}

int http_connections(const struct http *http)
{
    return http->gate.connections;
}
