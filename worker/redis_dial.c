#include "worker/redis_dial.h"
#include "common/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct redis_dial {
    struct event_base *base;
    struct event event; /* the name is resolved, or the socket connected, or all is known at once */
    struct resolve *resolve;
    int port;
    unsigned attempt;
    int fd;
    const char *why;
    redis_dialed *dialed;
    void *arg;
};

void redis_dial_cancel(struct redis_dial **doomed)
{
    struct redis_dial *d = *doomed;
    *doomed = NULL;
    event_del(&d->event);
    if (d->resolve != NULL)
        resolve_destroy(&d->resolve);
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

static void finish(struct redis_dial *d, const char *why)
{
    redis_dialed *dialed = d->dialed;
    void *arg = d->arg;
    int fd = why == NULL ? d->fd : -1;
    if (why == NULL)
        d->fd = -1;
    redis_dial_cancel(&d);
    dialed(arg, fd, why);
}

static void on_known(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_dial *d = arg;
    finish(d, d->why);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    finish(arg, error ? strerror(error) : NULL);
}

/* From the loop. why NULL: it is connected. */
static void finish_soon(struct redis_dial *d, const char *why)
{
    d->why = why;
    event_assign(&d->event, d->base, -1, 0, on_known, d);
    event_active(&d->event, EV_TIMEOUT, 1);
}

/* A unix socket whose server does not accept has EAGAIN, and nothing to wait for. */
static void connect_socket(struct redis_dial *d, const struct sockaddr *address, socklen_t len)
{
    d->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = d->fd < 0 || connect(d->fd, address, len) != 0 ? errno : 0;
    if (d->fd >= 0 && address->sa_family != AF_UNIX)
        setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (error == EINPROGRESS) {
        event_assign(&d->event, d->base, d->fd, EV_WRITE, on_connected, d);
        event_add(&d->event, NULL);
        return;
    }
    finish_soon(d, error ? strerror(error) : NULL);
}

static void connect_unix(struct redis_dial *d, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    connect_socket(d, (const struct sockaddr *)&address, sizeof address);
}

static void connect_tcp(struct redis_dial *d, const char *numeric)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)d->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)d->port)};
    if (inet_pton(AF_INET, numeric, &v4.sin_addr) == 1)
        connect_socket(d, (const struct sockaddr *)&v4, sizeof v4);
    else if (inet_pton(AF_INET6, numeric, &v6.sin6_addr) == 1)
        connect_socket(d, (const struct sockaddr *)&v6, sizeof v6);
    else
        finish_soon(d, "the address of the host is of an unknown kind");
}

/* Of several with blanks between them; cuts the list. */
static const char *nth_address(char *addresses, unsigned n)
{
    unsigned count = 1;
    for (const char *at = addresses; (at = strchr(at, ' ')) != NULL; at++)
        count++;
    char *at = addresses;
    for (n %= count; n > 0; n--)
        strsep(&at, " ");
    return strsep(&at, " ");
}

static void on_resolved(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_dial *d = arg;
    const char *error;
    char *addresses = resolve_take(d->resolve, &error);
    if (addresses == NULL) {
        finish(d, error);
        return;
    }
    resolve_destroy(&d->resolve);
    connect_tcp(d, nth_address(addresses, d->attempt));
    free(addresses);
}

static void resolve(struct redis_dial *d, const char *name)
{
    int fd;
    d->resolve = resolve_start(name, &fd);
    if (d->resolve == NULL) {
        finish_soon(d, "no thread can be started to resolve the host's name");
        return;
    }
    event_assign(&d->event, d->base, fd, EV_READ, on_resolved, d);
    event_add(&d->event, NULL);
}

struct redis_dial *redis_dial_start(struct event_base *base, const char *path, const struct redis_host *host,
                                    unsigned attempt, redis_dialed *dialed, void *arg)
{
    struct redis_dial *d = xcalloc(1, sizeof *d);
    *d = (struct redis_dial){
        .base = base, .port = host->port, .attempt = attempt, .fd = -1, .dialed = dialed, .arg = arg};
    if (path[0] != '\0')
        connect_unix(d, path);
    else if (resolve_is_name(host->name))
        resolve(d, host->name);
    else
        connect_tcp(d, host->name);
    return d;
}
