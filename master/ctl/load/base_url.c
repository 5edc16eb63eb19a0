#include "master/ctl/load/base_url.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <unistd.h>

enum { PROBE_MS = 1000 };

static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

/* [::1]:8080 and localhost:8080. */
static bool split(struct slice authority, struct slice *host, struct slice *port)
{
    const char *end = authority.at + authority.len, *host_end, *rest;
    if (authority.len > 0 && authority.at[0] == '[') {
        host_end = memchr(authority.at, ']', authority.len);
        if (host_end == NULL)
            return false;
        *host = slice_of(authority.at + 1, (size_t)(host_end - authority.at - 1));
        rest = host_end + 1;
    } else {
        rest = memchr(authority.at, ':', authority.len);
        rest = rest != NULL ? rest : end;
        *host = slice_of(authority.at, (size_t)(rest - authority.at));
    }
    bool has_port = rest < end && *rest == ':';
    *port = has_port ? slice_of(rest + 1, (size_t)(end - rest - 1)) : SLICE("80");
    return host->len > 0 && (rest == end || has_port);
}

static bool is_port(struct slice text)
{
    int port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || text.len > 5)
            return false;
        port = port * 10 + text.at[i] - '0';
    }
    return port >= 1 && port <= 65535;
}

bool base_url_parse(const char *text, struct arena *arena, struct base_url *out, struct err *err)
{
    static const char scheme[] = "http://";
    struct slice host, port;
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return err_set(err, "\"%s\" does not begin with http://", text);
    const char *at = text + sizeof scheme - 1;
    size_t len = strcspn(at, "/");
    struct slice prefix = slice_str(at + len);
    while (prefix.len > 0 && prefix.at[prefix.len - 1] == '/')
        prefix.len--;
    out->authority = slice_of(at, len);
    if (!is_visible(text) || strpbrk(text, "?#@\\") != NULL || !split(out->authority, &host, &port) || !is_port(port))
        return err_set(err, "\"%s\" is not a URL such as http://127.0.0.1:8080 or http://host/prefix", text);
    out->text = text;
    out->prefix = prefix;
    out->host = arena_str(arena, host);
    out->port = arena_str(arena, port);
    return true;
}

static bool takes_connections(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t len = sizeof error;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (fd < 0)
        return false;
    bool good = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
                (errno == EINPROGRESS && poll(&wait, 1, PROBE_MS) == 1 &&
                 getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    close(fd);
    return good;
}

/* Where there is no choice nothing is sent to find out. */
static const struct addrinfo *choose(const struct addrinfo *all)
{
    if (all->ai_next != NULL)
        for (const struct addrinfo *a = all; a != NULL; a = a->ai_next)
            if (takes_connections(a))
                return a;
    return all;
}

bool base_url_resolve(const struct base_url *url, struct sockaddr_storage *address_out, socklen_t *len_out,
                      struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int wrong = getaddrinfo(url->host, url->port, &hints, &found);
    if (wrong != 0)
        return err_set(err, "%s: %s", url->host, gai_strerror(wrong));
    const struct addrinfo *chosen = choose(found);
    memcpy(address_out, chosen->ai_addr, chosen->ai_addrlen);
    *len_out = chosen->ai_addrlen;
    freeaddrinfo(found);
    return true;
}
