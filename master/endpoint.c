#include "master/endpoint.h"
#include "common/log.h"
#include "master/passed.h"
#include "worker/http_local.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static char *copy(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

struct endpoint *endpoint_create(const struct conf_listen *at)
{
    struct endpoint *l = xcalloc(1, sizeof *l);
    l->at = (struct conf_listen){copy(at->path), copy(at->host), copy(at->port), at->v6, {NULL, 0, 0}};
    l->single = at->path != NULL;
    for (int slot = 0; slot < WORKERS_MAX; slot++)
        l->fds[slot] = -1;
    return l;
}

static void drop_sockets(struct endpoint *l, int from)
{
    for (int slot = from; slot < l->bound; slot++) {
        close(l->fds[slot]);
        l->fds[slot] = -1;
    }
    l->bound = from;
}

void endpoint_destroy(struct endpoint **l, bool unlinks)
{
    if (unlinks && (*l)->at.path != NULL && (*l)->bound > 0 && !(*l)->passed)
        unlink((*l)->at.path);
    drop_sockets(*l, 0);
    free((char *)(uintptr_t)(*l)->at.path);
    free((char *)(uintptr_t)(*l)->at.host);
    free((char *)(uintptr_t)(*l)->at.port);
    free(*l);
    *l = NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool endpoint_is_at(const struct endpoint *l, const struct conf_listen *at)
{
    return same_text(l->at.path, at->path) && same_text(l->at.host, at->host) && same_text(l->at.port, at->port);
}

void endpoint_name(const struct conf_listen *at, char text[static 160])
{
    if (at->path != NULL)
        snprintf(text, 160, "unix:%s", at->path);
    else
        snprintf(text, 160, "%s%s%s:%s", at->v6 ? "[" : "", at->host, at->v6 ? "]" : "", at->port);
}

static enum endpoint_bound fail(const struct conf_listen *at, const char *why, struct err *err)
{
    char name[160];
    endpoint_name(at, name);
    err_set(err, "%s:%d:%d: listen %s: %s", at->pos.file, at->pos.line, at->pos.column, name, why);
    return ENDPOINT_FAILED;
}

/* ---- TCP ---- */

/* -1 with errno. */
static int open_socket(const struct addrinfo *address, bool shared)
{
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
              /* Inherited by what is accepted: libevent writes 16 KB at a time, and the rest of a larger answer would
               * wait 40 ms for the consumer's delayed acknowledgement. */
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
              (address->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
              bind(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (ok)
        return fd;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return -1;
}

/* A socket without SO_REUSEPORT finds out whether anyone has the address. */
static bool is_free(const struct addrinfo *address)
{
    int fd = open_socket(address, false);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool bind_slots(struct endpoint *l, const struct addrinfo *address, int slots)
{
    while (l->bound < slots) {
        int fd = open_socket(address, true);
        if (fd < 0)
            return false;
        l->fds[l->bound++] = fd;
    }
    return true;
}

/* What getaddrinfo() returns. */
static int resolve(const struct conf_listen *at, struct addrinfo **address_out)
{
    const struct addrinfo hints = {.ai_family = at->v6 ? AF_INET6 : AF_INET,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    return getaddrinfo(at->host, at->port, &hints, address_out);
}

static enum endpoint_bound bind_address(struct endpoint *l, const struct conf_listen *at, int slots, bool overlaps,
                                        struct err *err)
{
    struct addrinfo *address;
    int failed = resolve(at, &address);
    if (failed != 0)
        return fail(at, gai_strerror(failed), err);
    bool ok = (l->bound > 0 || overlaps || is_free(address)) && bind_slots(l, address, slots);
    failed = errno;
    freeaddrinfo(address);
    if (!ok && l->passed && l->listening <= 1) { /* it was bound without SO_REUSEPORT, or by another user */
        drop_sockets(l, 1);
        l->single = ok = true;
    }
    if (ok)
        return ENDPOINT_BOUND;
    if (at->v6 && (failed == EAFNOSUPPORT || failed == EADDRNOTAVAIL))
        return ENDPOINT_NO_V6;
    return fail(at, strerror(failed), err);
}

/* ---- unix sockets ---- */

/* What an earlier perfd left is no hindrance, one that listens is. */
static bool remove_stale(const struct sockaddr_un *name)
{
    struct stat st;
    if (lstat(name->sun_path, &st) != 0)
        return errno == ENOENT;
    int fd = S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    bool used = fd < 0 || connect(fd, (const struct sockaddr *)name, sizeof *name) == 0 || errno != ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    errno = EADDRINUSE;
    return !used && unlink(name->sun_path) == 0;
}

/* -1 with errno. */
static int open_path(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    CHECK(strlen(path) < sizeof name.sun_path);
    strcpy(name.sun_path, path);
    if (!remove_stale(&name))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0111); /* not by chmod(): in a folder of others the name may be a link by then */
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0;
    int failed = errno;
    umask(before);
    if (bound)
        return fd;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return -1;
}

static enum endpoint_bound bind_path(struct endpoint *l, const struct conf_listen *at, struct err *err)
{
    if (l->bound > 0)
        return ENDPOINT_BOUND;
    if (!http_local_works(err))
        return ENDPOINT_FAILED;
    l->fds[0] = open_path(at->path);
    if (l->fds[0] < 0)
        return fail(at, strerror(errno), err);
    l->bound = 1;
    return ENDPOINT_BOUND;
}

/* ---- both ---- */

static void take_sockets(struct endpoint *l, struct inherited *inherited, const struct sockaddr *address, socklen_t len)
{
    int most = l->single ? 1 : WORKERS_MAX, fd;
    bool passed;
    while (l->bound < most && (fd = inherited_take(inherited, address, len, &passed)) >= 0) {
        l->fds[l->bound] = passed ? l->fds[0] : fd;
        if (passed)
            l->fds[0] = fd;
        l->passed |= passed;
        l->bound++;
    }
    l->listening = l->bound;
}

void endpoint_inherit(struct endpoint *l, struct inherited *inherited)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct addrinfo *address;
    if (l->single) {
        snprintf(name.sun_path, sizeof name.sun_path, "%s", l->at.path);
        take_sockets(l, inherited, (struct sockaddr *)&name, sizeof name);
    } else if (resolve(&l->at, &address) == 0) {
        take_sockets(l, inherited, address->ai_addr, address->ai_addrlen);
        freeaddrinfo(address);
    }
}

enum endpoint_bound endpoint_bind(struct endpoint *l, int slots, bool overlaps, struct err *err)
{
    if (l->bound == 0 && !passed_find(&l->at, &l->fds[0], err))
        return ENDPOINT_FAILED;
    if (l->bound == 0 && l->fds[0] >= 0) {
        l->passed = true;
        l->bound = 1;
    }
    return l->single ? bind_path(l, &l->at, err) : bind_address(l, &l->at, slots, overlaps, err);
}

void endpoint_listen(struct endpoint *l)
{
    char name[160];
    for (; l->listening < l->bound; l->listening++)
        if (!(l->passed && l->listening == 0) && listen(l->fds[l->listening], BACKLOG) != 0) {
            endpoint_name(&l->at, name);
            log_error("cannot listen on %s: %s", name, strerror(errno));
        }
}

void endpoint_unbind(struct endpoint *l)
{
    if (l->at.path != NULL && l->bound > l->listening && !l->passed)
        unlink(l->at.path);
    drop_sockets(l, l->listening);
}

/* Of a segment, which begins with the TCP header, the flag SYN: such are dropped, others pass. */
void endpoint_silence(struct endpoint *l, bool silent)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
    const struct sock_fprog program = {ARRAY_LEN(code), code};
    const int nothing = 0;
    for (int slot = 0; slot < l->listening && l->at.path == NULL && l->silent != silent; slot++)
        if (silent)
            setsockopt(l->fds[slot], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
        else
            setsockopt(l->fds[slot], SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof nothing);
    l->silent = silent;
}

bool endpoint_is_idle(const struct endpoint *l)
{
    for (int slot = 0; slot < l->listening && l->at.path == NULL; slot++) {
        struct tcp_info info;
        socklen_t bytes = sizeof info;
        /* Of a listening socket it is the length of its queue. */
        if (getsockopt(l->fds[slot], IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 && info.tcpi_unacked > 0)
            return false;
    }
    return true;
}

/* To a unix socket nobody finds the way without its name; what is queued on it is accepted by who has a copy. */
void endpoint_end(struct endpoint *l)
{
    for (int slot = 0; slot < l->listening && l->at.path == NULL; slot++)
        shutdown(l->fds[slot], SHUT_RD);
}
