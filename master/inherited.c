#include "master/inherited.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

void inherited_add(struct inherited *in, int fd, bool passed)
{
    in->fds = xrealloc(in->fds, (size_t)(in->count + 1) * sizeof *in->fds);
    in->passed = xrealloc(in->passed, (size_t)(in->count + 1) * sizeof *in->passed);
    in->passed[in->count] = passed;
    in->fds[in->count++] = fd;
}

/* Field by field: the kernel does not say what stands between and behind them. */
static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *one = (const void *)a, *other = (const void *)b;
        return one->sin_port == other->sin_port && one->sin_addr.s_addr == other->sin_addr.s_addr;
    }
    if (a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *one = (const void *)a, *other = (const void *)b;
        return one->sin6_port == other->sin6_port && one->sin6_scope_id == other->sin6_scope_id &&
               memcmp(&one->sin6_addr, &other->sin6_addr, sizeof one->sin6_addr) == 0;
    }
    const struct sockaddr_un *one = (const void *)a, *other = (const void *)b;
    return a->sa_family == AF_UNIX && strncmp(one->sun_path, other->sun_path, sizeof one->sun_path) == 0;
}

int inherited_take(struct inherited *in, const struct sockaddr *address, socklen_t len, bool *passed_out)
{
    for (int i = 0; i < in->count; i++) {
        struct sockaddr_storage bound = {0};
        socklen_t bound_len = sizeof bound;
        int fd = in->fds[i];
        if (fd < 0 || len > sizeof bound || getsockname(fd, (struct sockaddr *)&bound, &bound_len) != 0 ||
            !same_address((struct sockaddr *)&bound, address))
            continue;
        in->fds[i] = -1;
        *passed_out = in->passed[i];
        return fd;
    }
    return -1;
}

bool inherited_has_port(const struct inherited *in, int port)
{
    for (int i = 0; i < in->count; i++) {
        struct sockaddr_storage bound = {0};
        socklen_t len = sizeof bound;
        if (in->fds[i] < 0 || getsockname(in->fds[i], (struct sockaddr *)&bound, &len) != 0)
            continue;
        const struct sockaddr_in *v4 = (const void *)&bound;
        const struct sockaddr_in6 *v6 = (const void *)&bound;
        if ((bound.ss_family == AF_INET && ntohs(v4->sin_port) == port) ||
            (bound.ss_family == AF_INET6 && ntohs(v6->sin6_port) == port))
            return true;
    }
    return false;
}

void inherited_close(struct inherited *in)
{
    for (int i = 0; i < in->count; i++)
        if (in->fds[i] >= 0)
            close(in->fds[i]);
    free(in->fds);
    free(in->passed);
    *in = (struct inherited){0};
}
