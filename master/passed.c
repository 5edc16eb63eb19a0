#include "master/passed.h"
#include "common/log.h"
#include "master/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3, PASSED_MAX = 64 };

static struct passed {
    int fd;
    bool found;
} passed[PASSED_MAX];
static int passed_count;

static int read_count(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int count = pid != NULL && fds != NULL && atoi(pid) == (int)getpid() ? atoi(fds) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return MIN(MAX(count, 0), (int)PASSED_MAX);
}

void passed_take(void)
{
    int count = read_count();
    for (int i = 0; i < count; i++) {
        int fd = FIRST_FD + i, flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
            continue; /* it is none */
        passed[passed_count++] = (struct passed){fd, false};
    }
}

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } of;
    char text[160];
};

/* As perfd.conf would write it. */
static void print_address(struct address *a, socklen_t len)
{
    char host[INET6_ADDRSTRLEN] = "";
    switch (a->of.any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->of.v4.sin_addr, host, sizeof host);
        snprintf(a->text, sizeof a->text, "%s:%d", host, ntohs(a->of.v4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &a->of.v6.sin6_addr, host, sizeof host);
        snprintf(a->text, sizeof a->text, "[%s]:%d", host, ntohs(a->of.v6.sin6_port));
        break;
    case AF_UNIX:
        snprintf(a->text, sizeof a->text, "unix:%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path)),
                 a->of.local.sun_path);
        break;
    default: /* not of our own enum */
        snprintf(a->text, sizeof a->text, "of family %d", a->of.any.sa_family);
    }
}

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : 0;
}

static void address_of(int fd, struct address *out)
{
    socklen_t len = sizeof out->of;
    memset(out, 0, sizeof *out);
    if (getsockname(fd, &out->of.any, &len) == 0 && option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
        option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0)
        print_address(out, len);
    else
        snprintf(out->text, sizeof out->text, "%d, which is no listening stream socket,", fd);
}

/* Not a v6 one that takes v4 connections: their addresses would be in no net of the configuration. */
static bool settle(int fd, const struct conf_listen *at, const char *text, struct err *err)
{
    const int on = 1;
    if (at->v6 && option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0)
        return err_set(err,
                       "%s:%d:%d: the socket %s that was passed takes v4 connections too; its unit needs "
                       "BindIPv6Only=ipv6-only",
                       at->pos.file, at->pos.line, at->pos.column, text);
    /* As on those that are bound here: endpoint.c tells why. */
    return at->path != NULL || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ||
           err_set(err, "the socket %s that was passed: %s", text, strerror(errno));
}

bool passed_find(const struct conf_listen *at, int *fd_out, struct err *err)
{
    char wanted[160];
    endpoint_name(at, wanted);
    *fd_out = -1;
    for (int i = 0; i < passed_count; i++) {
        struct address address;
        address_of(passed[i].fd, &address);
        if (strcmp(address.text, wanted) != 0)
            continue;
        passed[i].found = true;
        if (!settle(passed[i].fd, at, wanted, err))
            return false;
        *fd_out = fcntl(passed[i].fd, F_DUPFD_CLOEXEC, 0);
        return *fd_out >= 0 || err_set(err, "the socket %s that was passed: %s", wanted, strerror(errno));
    }
    return true;
}

void passed_warn(void)
{
    for (int i = 0; i < passed_count; i++) {
        struct address address;
        address_of(passed[i].fd, &address);
        if (!passed[i].found)
            log_warn("the socket %s was passed, but is no address of listen, tls listen or admin: nobody accepts there",
                     address.text);
    }
}
