/* A unix socket in front of another one, whose bytes arrive later: a database that is further away.
 *
 *     delay LISTEN-PATH SERVER-PATH DELAY-US
 *
 * What is read is held for DELAY-US in each direction, whatever the load; nothing is lost or reordered. It ends by a
 * signal. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct piece {
    struct evbuffer *bytes;
    int64_t due_us;
    struct piece *next;
};

/* One direction. */
struct way {
    struct bufferevent *from, *to;
    struct event *timer;
    struct piece *first, *last;
};

struct pair {
    struct way ways[2];
};

static struct event_base *base;
static const char *server_path;
static int64_t delay_us;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void await(struct way *way)
{
    int64_t left_us = way->first->due_us - now_us();
    struct timeval tv = {0, left_us > 0 ? (suseconds_t)left_us : 0};
    event_add(way->timer, &tv);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct way *way = arg;
    int64_t now = now_us();
    while (way->first != NULL && way->first->due_us <= now) {
        struct piece *piece = way->first;
        bufferevent_write_buffer(way->to, piece->bytes);
        evbuffer_free(piece->bytes);
        way->first = piece->next;
        free(piece);
    }
    if (way->first != NULL)
        await(way);
}

static void on_read(struct bufferevent *from, void *arg)
{
    struct way *way = &((struct pair *)arg)->ways[((struct pair *)arg)->ways[1].from == from];
    struct piece *piece = calloc(1, sizeof *piece);
    if (piece == NULL || (piece->bytes = evbuffer_new()) == NULL)
        abort();
    evbuffer_add_buffer(piece->bytes, bufferevent_get_input(from));
    piece->due_us = now_us() + delay_us;
    if (way->first == NULL)
        way->first = piece;
    else
        way->last->next = piece;
    way->last = piece;
    if (way->first == piece)
        await(way);
}

static void destroy(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        struct way *way = &pair->ways[i];
        for (struct piece *piece; (piece = way->first) != NULL; free(piece)) {
            way->first = piece->next;
            evbuffer_free(piece->bytes);
        }
        event_free(way->timer);
        bufferevent_free(way->from);
    }
    free(pair);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        destroy(arg);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    (void)listener, (void)from, (void)len, (void)arg;
    struct sockaddr_un address = address_of(server_path);
    struct pair *pair = calloc(1, sizeof *pair);
    struct bufferevent *ends[] = {bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE),
                                  bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE)};
    if (pair == NULL || ends[0] == NULL || ends[1] == NULL)
        abort();
    for (int i = 0; i < 2; i++) {
        pair->ways[i] = (struct way){.from = ends[i], .to = ends[!i]};
        pair->ways[i].timer = event_new(base, -1, 0, on_due, &pair->ways[i]);
        bufferevent_setcb(ends[i], on_read, NULL, on_event, pair);
    }
    if (bufferevent_socket_connect(ends[1], (struct sockaddr *)&address, sizeof address) != 0) {
        destroy(pair);
        return;
    }
    bufferevent_enable(ends[0], EV_READ | EV_WRITE);
    bufferevent_enable(ends[1], EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* who is written to may be gone already */
    if (argc != 4) {
        fprintf(stderr, "usage: delay LISTEN-PATH SERVER-PATH DELAY-US\n");
        return 64;
    }
    struct sockaddr_un address = address_of(argv[1]);
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base = event_base_new_with_config(config);
    server_path = argv[2];
    delay_us = atoll(argv[3]);
    if (base == NULL || evconnlistener_new_bind(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE, 128,
                                                (struct sockaddr *)&address, sizeof address) == NULL) {
        perror(argv[1]);
        return 1;
    }
    return event_base_dispatch(base) == 0 ? 0 : 1;
}
