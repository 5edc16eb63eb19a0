#include "common/resolve.h"
#include "common/buf.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Shared by the caller and the thread; who leaves last frees it. */
struct resolve {
    _Atomic int users;
    int fd;
    char *hosts;
    struct buf addresses;
    const char *error;
};

bool resolve_is_name(const char *host)
{
    char bytes[sizeof(struct in6_addr)];
    return host[0] != '\0' && host[0] != '/' && host[0] != '@' && inet_pton(AF_INET, host, bytes) != 1 &&
           inet_pton(AF_INET6, host, bytes) != 1;
}

static void leave(struct resolve *r)
{
    if (atomic_fetch_sub(&r->users, 1) > 1)
        return;
    close(r->fd);
    buf_deinit(&r->addresses);
    free(r->hosts);
    free(r);
}

/* Addresses of one family, each once. */
static void add_family(struct buf *out, const struct addrinfo *found, int family, size_t start)
{
    char address[NI_MAXHOST];
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (a->ai_family != family ||
            getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        if (out->len > start)
            buf_addc(out, ' ');
        buf_adds(out, address);
    }
}

/* NULL, or why there are none. */
static const char *add_addresses(struct buf *out, const char *host)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found;
    size_t start = out->len;
    if (!resolve_is_name(host)) {
        buf_adds(out, host[0] == '/' || host[0] == '@' ? "" : host);
        return NULL;
    }
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed != 0)
        return gai_strerror(failed);
    add_family(out, found, AF_INET, start);
    add_family(out, found, AF_INET6, start);
    freeaddrinfo(found);
    return out->len > start ? NULL : "the name has no address";
}

static void *run(void *arg)
{
    struct resolve *r = arg;
    const uint64_t one = 1;
    char *at = r->hosts, *host;
    bool any = false;
    while ((host = strsep(&at, ",")) != NULL) {
        if (host != r->hosts)
            buf_addc(&r->addresses, ',');
        const char *error = add_addresses(&r->addresses, host);
        any |= error == NULL;
        r->error = error ? error : r->error;
    }
    if (any)
        r->error = NULL;
    buf_addc(&r->addresses, '\0');
    ssize_t written = write(r->fd, &one, sizeof one);
    (void)written; /* an eventfd at 0 takes it */
    leave(r);
    return NULL;
}

struct resolve *resolve_start(const char *hosts, int *fd_out)
{
    struct resolve *r = xcalloc(1, sizeof *r);
    pthread_t thread;
    sigset_t all, before;
    r->users = 2;
    r->hosts = xstrdup(hosts);
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = r->fd >= 0 && pthread_create(&thread, NULL, run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) {
        r->users = 1;
        leave(r);
        return NULL;
    }
    pthread_setname_np(thread, "perfd-resolve");
    pthread_detach(thread);
    *fd_out = r->fd;
    return r;
}

char *resolve_take(struct resolve *r, const char **error_out)
{
    *error_out = r->error;
    return r->error ? NULL : xstrdup(r->addresses.at);
}

void resolve_destroy(struct resolve **r)
{
    if (*r != NULL)
        leave(*r);
    *r = NULL;
}
