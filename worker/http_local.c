#include "worker/http_local.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRY_SECONDS = 2, BACKLOG = 1 };

static void on_request(struct evhttp_request *request, void *arg)
{
    *(bool *)arg = true;
    evhttp_send_reply(request, 204, NULL, NULL);
    event_base_loopbreak(evhttp_connection_get_base(evhttp_request_get_connection(request)));
}

/* The kernel chooses an abstract name. */
static int listen_abstract(struct sockaddr_un *name, socklen_t *len)
{
    const struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *len = sizeof *name;
    if (fd < 0 || bind(fd, (const struct sockaddr *)&unnamed, sizeof unnamed.sun_family) != 0 ||
        listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)name, len) != 0)
        return -1;
    return fd;
}

static int try_it(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost:\r\n\r\n";
    struct sockaddr_un name;
    socklen_t len;
    bool came = false;
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    int fd = listen_abstract(&name, &len), consumer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval most = {TRY_SECONDS, 0};
    if (http == NULL || fd < 0 || evhttp_accept_socket(http, fd) != 0 ||
        connect(consumer, (struct sockaddr *)&name, len) != 0 ||
        write(consumer, request, sizeof request - 1) != sizeof request - 1)
        return 1;
    evhttp_set_gencb(http, on_request, &came);
    event_base_loopexit(base, &most);
    event_base_dispatch(base);
    return came ? 0 : 1;
}

bool http_local_works(struct err *err)
{
    pid_t pid = fork();
    int status = -1;
    if (pid < 0)
        return err_set(err, "fork: %s", strerror(errno));
    if (pid == 0)
        _exit(try_it());
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 || err_set(err,
                                  "libevent %s cannot serve HTTP over unix sockets: leave unix: out of listen and "
                                  "admin, or use Debian's 2.1.12-stable-8+deb12u1 or 2.1.13",
                                  event_get_version());
}
