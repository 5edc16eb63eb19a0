#include "worker/http_listener.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/gate.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct timeval pause_time = {0, 100 * 1000};

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void pause_all(struct http_listeners *l)
{
    for (int i = 0; i < l->count; i++)
        evconnlistener_disable(l->at[i].ev);
    l->paused = true;
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_listeners *l = arg;
    if (l->spare_fd < 0)
        l->spare_fd = open_spare();
    if (l->gate->connections >= l->most && !gate_end_one(l->gate)) {
        event_add(&l->resume, &pause_time);
        return;
    }
    l->paused = false;
    for (int i = 0; i < l->count; i++)
        if (l->at[i].on)
            evconnlistener_enable(l->at[i].ev);
}

/* evhttp has given the listeners an argument of its own. */
static struct http_listeners *all;

static struct http_listeners *owner_of(const struct evconnlistener *listener)
{
    for (struct http_listeners *l = all; l != NULL; l = l->next)
        for (int i = 0; i < l->count; i++)
            if (l->at[i].ev == listener)
                return l;
    CHECK(!"a listener is nobody's");
    return NULL;
}

/* The kernel has a connection and no descriptor for it: it would say so again at once, and for ever. The spare one
 * takes it and closes it, so that the consumer need not wait for nothing. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)arg; /* evhttp's */
    static struct log_limit limit;
    int failed = errno;
    struct http_listeners *l = owner_of(listener);
    if (failed == EINVAL) /* it listens no more, in any process: the kernel would say so for ever */
        http_listeners_remove(l, evconnlistener_get_fd(listener));
    if (failed != EMFILE && failed != ENFILE && failed != ENOMEM && failed != ENOBUFS)
        return; /* the consumer has gone already */
    if (log_limit_pass(&limit, 10 * US_PER_S, clock_mono_us()))
        log_warn("cannot accept a connection: %s; raise the limit of open files, or lower max_connections",
                 strerror(failed));
    if (!gate_end_one(l->gate) && l->spare_fd >= 0) {
        close(l->spare_fd);
        l->spare_fd = accept4(evconnlistener_get_fd(listener), NULL, NULL, SOCK_CLOEXEC);
        if (l->spare_fd >= 0)
            close(l->spare_fd);
        l->spare_fd = open_spare();
    }
    pause_all(l);
    event_add(&l->resume, &pause_time);
}

void http_listeners_init(struct http_listeners *l, struct event_base *base, struct gate *gate, int most)
{
    *l = (struct http_listeners){.base = base, .gate = gate, .most = most, .spare_fd = open_spare()};
    event_assign(&l->resume, base, -1, 0, on_resume, l);
    l->next = all;
    all = l;
}

static struct http_listener *find(struct http_listeners *l, int fd)
{
    for (int i = 0; i < l->count; i++)
        if (evconnlistener_get_fd(l->at[i].ev) == fd)
            return &l->at[i];
    return NULL;
}

bool http_listeners_add(struct http_listeners *l, struct evhttp *ev, int fd)
{
    struct http_listener *known = find(l, fd);
    if (known != NULL) {
        known->on = true;
        return l->paused || evconnlistener_enable(known->ev) == 0;
    }
    /* Without LEV_OPT_CLOSE_ON_FREE: the socket stays open when listening ends. */
    struct evconnlistener *listener = evconnlistener_new(l->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener == NULL || evhttp_bind_listener(ev, listener) == NULL)
        return false;
    evconnlistener_set_error_cb(listener, on_accept_failed);
    if (l->paused)
        evconnlistener_disable(listener);
    if (l->count == l->cap)
        l->at = xrealloc(l->at, (size_t)(l->cap = l->cap ? 2 * l->cap : 8) * sizeof *l->at);
    l->at[l->count++] = (struct http_listener){listener, true};
    return true;
}

void http_listeners_remove(struct http_listeners *l, int fd)
{
    struct http_listener *known = find(l, fd);
    if (known == NULL)
        return;
    known->on = false;
    evconnlistener_disable(known->ev);
}

void http_listeners_resume(struct http_listeners *l, int connections)
{
    if (connections >= l->most && !l->paused) {
        pause_all(l);
        event_active(&l->resume, EV_TIMEOUT, 1);
    } else if (connections < l->most && l->paused && !event_pending(&l->resume, EV_TIMEOUT, NULL)) {
        event_active(&l->resume, EV_TIMEOUT, 1);
    }
}

void http_listeners_end(struct http_listeners *l)
{
    pause_all(l);
    event_del(&l->resume);
    l->count = 0;
}
