/* Requests whose answers must carry their own tag, as many at a time as there are connections, whatever happens to the
 * database meanwhile: is an answer ever given to another request?
 *
 *     build/release/tests/bench/tagged PORT PATH REQUESTS [CONNECTIONS]
 *
 * Sends GET PATH/N for N = 1, 2, 3... to 127.0.0.1, each connection one request at a time. 200 must have the body
 * {"tag":N}; 503 and 504 are refusals; all else is wrong. Prints a line of JSON a second, and one at the end:
 *
 *   right, refused       answers
 *   wrong                another body or status; the first ones go to stderr
 *   broken               connections that perfd closed, each with its request
 *   longest_ms           from sending to the last byte
 *
 * Exit status 1 when anything is wrong or broken. */
#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 64, CONNECTIONS_MAX = 1024, ANSWER_BYTES = 8192, WRONG_SHOWN = 10 };

struct connection {
    int fd;
    uint64_t tag; /* asked for */
    int64_t sent_us;
    size_t len;
    char answer[ANSWER_BYTES];
};

struct tagged {
    const char *path;
    uint16_t port;
    int epoll;
    uint64_t wanted, next; /* requests, the next one's tag */
    uint64_t right, refused, wrong, broken;
    int64_t longest_us;
};

static uint64_t count_ended(const struct tagged *t)
{
    return t->right + t->refused + t->wrong + t->broken;
}

static void print(const struct tagged *t, int64_t begun_us)
{
    printf("{\"requests\": %" PRIu64 ", \"right\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"wrong\": %" PRIu64
           ", \"broken\": %" PRIu64 ", \"longest_ms\": %" PRId64 ", \"seconds\": %.1f}\n",
           count_ended(t), t->right, t->refused, t->wrong, t->broken, t->longest_us / US_PER_MS,
           (double)(clock_mono_us() - begun_us) / US_PER_S);
    fflush(stdout);
}

/* ---- a connection ---- */

static void connect_anew(struct tagged *t, struct connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    const int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "tagged: 127.0.0.1:%d: %s\n", t->port, strerror(errno));
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CHECK(epoll_ctl(t->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0);
}

static void lose(struct tagged *t, struct connection *c)
{
    t->broken++;
    close(c->fd);
    c->fd = -1;
}

/* The next request, if one is left. */
static void ask(struct tagged *t, struct connection *c)
{
    char request[512];
    if (t->next > t->wanted)
        return;
    if (c->fd < 0)
        connect_anew(t, c);
    c->tag = t->next++;
    c->len = 0;
    c->sent_us = clock_mono_us();
    int len = snprintf(request, sizeof request, "GET %s/%" PRIu64 " HTTP/1.1\r\nHost: tagged\r\n\r\n", t->path, c->tag);
    if (send(c->fd, request, (size_t)len, MSG_NOSIGNAL) != len) {
        lose(t, c);
        ask(t, c);
    }
}

/* NULL: it is not whole yet. */
static const char *find_body(struct connection *c)
{
    c->answer[c->len] = '\0';
    const char *body = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (body == NULL || length == NULL)
        return NULL;
    body += 4;
    return c->len - (size_t)(body - c->answer) >= strtoul(length + 17, NULL, 10) ? body : NULL;
}

static void judge(struct tagged *t, const struct connection *c, const char *body)
{
    char wanted[64];
    int status = atoi(c->answer + sizeof "HTTP/1.1");
    snprintf(wanted, sizeof wanted, "{\"tag\":%" PRIu64 "}", c->tag);
    if (status == 503 || status == 504) {
        t->refused++;
    } else if (status == 200 && strcmp(body, wanted) == 0) {
        t->right++;
    } else {
        if (t->wrong++ < WRONG_SHOWN)
            fprintf(stderr, "tagged: %" PRIu64 " got\n%s\n", c->tag, c->answer);
    }
    t->longest_us = MAX(t->longest_us, clock_mono_us() - c->sent_us);
}

static void on_input(struct tagged *t, struct connection *c)
{
    ssize_t got = recv(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len, 0);
    if (got <= 0) {
        lose(t, c);
        ask(t, c);
        return;
    }
    c->len += (size_t)got;
    const char *body = find_body(c);
    if (body == NULL)
        return;
    judge(t, c, body);
    ask(t, c);
}

/* ---- all of them ---- */

static void run(struct tagged *t, struct connection *connections, int count)
{
    struct epoll_event events[64];
    int64_t begun_us = clock_mono_us(), told_us = begun_us;
    for (int i = 0; i < count; i++)
        ask(t, &connections[i]);
    while (count_ended(t) < t->wanted) {
        int ready = epoll_wait(t->epoll, events, ARRAY_LEN(events), 100);
        for (int i = 0; i < ready; i++)
            on_input(t, events[i].data.ptr);
        if (clock_mono_us() - told_us >= US_PER_S) {
            told_us += US_PER_S;
            print(t, begun_us);
        }
    }
    print(t, begun_us);
}

int main(int argc, char **argv)
{
    int count = argc > 4 ? atoi(argv[4]) : CONNECTIONS;
    if (argc < 4 || count < 1 || count > CONNECTIONS_MAX) {
        fputs("usage: tagged PORT PATH REQUESTS [CONNECTIONS]\n", stderr);
        return 2;
    }
    struct tagged t = {.path = argv[2],
                       .port = (uint16_t)atoi(argv[1]),
                       .epoll = epoll_create1(EPOLL_CLOEXEC),
                       .wanted = strtoull(argv[3], NULL, 10),
                       .next = 1};
    struct connection *connections = xcalloc((size_t)count, sizeof *connections);
    for (int i = 0; i < count; i++)
        connections[i].fd = -1;
    run(&t, connections, count);
    for (int i = 0; i < count; i++)
        if (connections[i].fd >= 0)
            close(connections[i].fd);
    free(connections);
    close(t.epoll);
    return t.wrong > 0 || t.broken > 0;
}
