/* The sockets that connections are accepted on, and what to do when there are too many: more wait in the kernel's
 * queue, and who has been idle for longest gives way. Private to worker/http.c. */
#ifndef WORKER_HTTP_LISTENER_H
#define WORKER_HTTP_LISTENER_H

#include "common/base.h"

#include <event2/event_struct.h>

struct evconnlistener;
struct evhttp;
struct gate;

enum { HTTP_LISTENERS_MAX = 256 };

struct http_listeners {
    struct event_base *base;
    struct gate *gate;
    int most; /* connections */
    struct evconnlistener *at[HTTP_LISTENERS_MAX];
    int count;
    bool paused;
    int spare_fd; /* given up to get rid of a connection for which there is no descriptor; -1: none */
    struct event resume;
    struct http_listeners *next; /* of this process */
};

void http_listeners_init(struct http_listeners *listeners, struct event_base *base, struct gate *gate, int most);
bool http_listeners_add(struct http_listeners *listeners, struct evhttp *ev, int fd) MUST_USE;
/* There are so many connections now. */
void http_listeners_resume(struct http_listeners *listeners, int connections);
void http_listeners_end(struct http_listeners *listeners);

#endif
