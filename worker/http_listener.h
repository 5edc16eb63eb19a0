/* The sockets that connections are accepted on, and what to do when there are too many: more wait in the kernel's
 * queue, and who has been idle for longest gives way. Private to worker/http.c. */
#ifndef WORKER_HTTP_LISTENER_H
#define WORKER_HTTP_LISTENER_H

#include "common/base.h"

#include <event2/event_struct.h>

struct evconnlistener;
struct evhttp;
struct gate;

struct http_listener {
    struct evconnlistener *ev;
    bool on; /* wanted; it rests while there are too many connections */
};

struct http_listeners {
    struct event_base *base;
    struct gate *gate;
    int most; /* connections */
    struct http_listener *at;
    int count, cap;
    bool paused;
    int spare_fd; /* given up to get rid of a connection for which there is no descriptor; -1: none */
    struct event resume;
    struct http_listeners *next; /* of this process */
};

void http_listeners_init(struct http_listeners *listeners, struct event_base *base, struct gate *gate, int most);
/* A socket that was removed may be added again. */
bool http_listeners_add(struct http_listeners *listeners, struct evhttp *ev, int fd) MUST_USE;
void http_listeners_remove(struct http_listeners *listeners, int fd);
/* There are so many connections now. */
void http_listeners_resume(struct http_listeners *listeners, int connections);
void http_listeners_end(struct http_listeners *listeners);

#endif
