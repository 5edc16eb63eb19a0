#include "common/resolve.h"
#include "common/buf.h"
#include "common/thread.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

/* Of a process at a time. One that asks a name server that does not answer takes as long as resolv.conf says, half a
 * minute or so: which is why this is no work for the threads of worker/offload.c. */
enum { THREADS_MAX = 4 };

enum state { WAITING, RUNNING, DONE, FORGOTTEN };

/* The thread's own while it is running. */
struct resolve {
    enum state state;
    int fd;
    char *hosts;
    struct buf addresses;
    const char *error;
    TAILQ_ENTRY(resolve) in_line;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows, and of each one's state */
static TAILQ_HEAD(, resolve) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static int threads;

bool resolve_is_name(const char *host)
{
    char bytes[sizeof(struct in6_addr)];
    return host[0] != '\0' && host[0] != '/' && host[0] != '@' && inet_pton(AF_INET, host, bytes) != 1 &&
           inet_pton(AF_INET6, host, bytes) != 1;
}

static void resolve_free(struct resolve *r)
{
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

static void resolve_all(struct resolve *r)
{
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
}

/* ---- threads, which end when nothing waits ---- */

static struct resolve *take(void)
{
    pthread_mutex_lock(&lock);
    struct resolve *r = TAILQ_FIRST(&waiting);
    if (r != NULL) {
        TAILQ_REMOVE(&waiting, r, in_line);
        r->state = RUNNING;
    } else {
        threads--;
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static void give_back(struct resolve *r)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&lock);
    bool forgotten = r->state == FORGOTTEN;
    r->state = DONE;
    if (!forgotten && write(r->fd, &one, sizeof one) != sizeof one) {
        /* An eventfd at 0 takes it. */
    }
    pthread_mutex_unlock(&lock);
    if (forgotten)
        resolve_free(r);
}

static void *run(void *arg)
{
    (void)arg;
    for (struct resolve *r; (r = take()) != NULL;) {
        resolve_all(r);
        give_back(r);
    }
    return NULL;
}

/* With the lock. False: there is none at all. */
static bool has_thread(void)
{
    pthread_t thread;
    if (threads < THREADS_MAX && thread_start(&thread, "perfd-resolve", run, NULL)) {
        pthread_detach(thread);
        threads++;
    }
    return threads > 0;
}

/* ---- for the loop ---- */

struct resolve *resolve_start(const char *hosts, int *fd_out)
{
    struct resolve *r = xcalloc(1, sizeof *r);
    r->hosts = xstrdup(hosts);
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&lock);
    bool started = r->fd >= 0 && has_thread();
    if (started)
        TAILQ_INSERT_TAIL(&waiting, r, in_line);
    pthread_mutex_unlock(&lock);
    if (!started) {
        resolve_free(r);
        return NULL;
    }
    *fd_out = r->fd;
    return r;
}

char *resolve_take(struct resolve *r, const char **error_out)
{
    pthread_mutex_lock(&lock);
    CHECK(r->state == DONE);
    pthread_mutex_unlock(&lock);
    *error_out = r->error;
    return r->error ? NULL : xstrdup(r->addresses.at);
}

void resolve_destroy(struct resolve **resolve)
{
    struct resolve *r = *resolve;
    if (r == NULL)
        return;
    *resolve = NULL;
    pthread_mutex_lock(&lock);
    bool running = r->state == RUNNING;
    if (r->state == WAITING)
        TAILQ_REMOVE(&waiting, r, in_line);
    if (running)
        r->state = FORGOTTEN;
    pthread_mutex_unlock(&lock);
    if (!running)
        resolve_free(r);
}
