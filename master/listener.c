#include "master/listener.h"
#include "common/log.h"
#include "worker/http_local.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static bool resolve(const struct conf_listen *listen_on, struct addrinfo **out, struct err *err)
{
    const struct addrinfo hints = {.ai_family = listen_on->v6 ? AF_INET6 : AF_INET,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    int failed = getaddrinfo(listen_on->host, listen_on->port, &hints, out);
    return failed == 0 || err_set(err, "listen %s:%s: %s", listen_on->host, listen_on->port, gai_strerror(failed));
}

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
              bind(fd, address->ai_addr, address->ai_addrlen) == 0 && (!shared || listen(fd, BACKLOG) == 0);
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

/* Fills fds of one address in all slots. False without err: the host has no IPv6. */
static bool open_address(struct listeners *l, const struct conf_listen *at, int index, bool *skip, struct err *err)
{
    struct addrinfo *address;
    if (!resolve(at, &address, err))
        return false;
    bool ok = is_free(address);
    for (int slot = 0; slot < l->slots && ok; slot++) {
        int fd = open_socket(address, true);
        l->fds[slot * l->count + index] = fd;
        ok = fd >= 0;
    }
    *skip = !ok && at->v6 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
    if (!ok && !*skip)
        err_set(err, "%s:%d:%d: listen %s%s%s:%s: %s", at->pos.file, at->pos.line, at->pos.column, at->v6 ? "[" : "",
                at->host, at->v6 ? "]" : "", at->port, strerror(errno));
    freeaddrinfo(address);
    return ok;
}

/* What an earlier perfd left is no hindrance, one that listens is. */
static bool remove_stale(const struct sockaddr_un *name)
{
    struct stat st;
    if (lstat(name->sun_path, &st) != 0)
        return errno == ENOENT;
    int fd = S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
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
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && chmod(path, 0666) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return -1;
}

/* One for all slots: whoever is free accepts. */
static bool open_local(struct listeners *l, const struct conf_listen *at, int index, struct err *err)
{
    if (!http_local_works(err))
        return false;
    int fd = open_path(at->path);
    l->fds[index] = fd;
    l->paths[index] = fd >= 0 ? xstrdup(at->path) : NULL;
    return fd >= 0 || err_set(err, "%s:%d:%d: listen unix:%s: %s", at->pos.file, at->pos.line, at->pos.column, at->path,
                              strerror(errno));
}

static void drop_last_address(struct listeners *l)
{
    for (int slot = 1; slot < l->slots; slot++)
        memmove(&l->fds[slot * (l->count - 1)], &l->fds[slot * l->count], (size_t)(l->count - 1) * sizeof *l->fds);
    l->count--;
}

bool listeners_open(struct listeners *l, const struct conf_listens *addresses, int slots, struct err *err)
{
    int used = 0;
    size_t count = (size_t)addresses->count;
    *l = (struct listeners){slots, addresses->count, xcalloc((size_t)slots * count, sizeof *l->fds),
                            xcalloc(count, sizeof *l->paths)};
    for (int i = 0; i < slots * l->count; i++)
        l->fds[i] = -1;
    for (int i = 0; i < addresses->count; i++) {
        bool skip = false;
        bool local = addresses->at[i].path != NULL;
        if (local ? open_local(l, &addresses->at[i], used, err)
                  : open_address(l, &addresses->at[i], used, &skip, err)) {
            used++;
        } else if (skip) {
            log_warn("listen [%s]:%s: this host has no IPv6; skipped", addresses->at[i].host, addresses->at[i].port);
            drop_last_address(l);
        } else {
            listeners_close(l);
            return false;
        }
    }
    if (l->count > 0 || addresses->count == 0)
        return true;
    listeners_close(l);
    return err_set(err, "%s:%d:%d: no address is left to listen on", addresses->at[0].pos.file,
                   addresses->at[0].pos.line, addresses->at[0].pos.column);
}

void listeners_close(struct listeners *l)
{
    for (int i = 0; i < l->slots * l->count; i++)
        if (l->fds[i] >= 0)
            close(l->fds[i]);
    for (int i = 0; i < l->count; i++) {
        if (l->paths[i] != NULL)
            unlink(l->paths[i]);
        free(l->paths[i]);
    }
    free(l->paths);
    free(l->fds);
    *l = (struct listeners){0};
}
