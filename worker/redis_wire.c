#include "worker/redis_wire.h"
#include "common/buf.h"
#include "common/digits.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, OUT_KEPT_BYTES = 256 << 10 };
/* Of an array; the longest that anybody asks for has 10. hiredis would take room for as many as it is told. */
enum { ELEMENTS_MAX = 64 };

struct redis_wire {
    int fd;
    size_t reply_max_bytes;
    struct redis_wire_events events;
    void *arg;
    redisReader *reader;
    redisReplyObjectFunctions functions, plain; /* the reader's, and those that hiredis gave it */
    struct buf out;
    size_t sent; /* of out */
    struct event readable, writable, flush;
    bool ended, choked;
    bool telling, doomed; /* destroyed while its replies are told: it goes after them */
};

/* ---- replies ---- */

static void *create_string(const redisReadTask *task, char *at, size_t len)
{
    struct redis_wire *w = task->privdata;
    w->choked |= len > w->reply_max_bytes;
    return w->choked ? NULL : w->plain.createString(task, at, len);
}

static void *create_array(const redisReadTask *task, int elements)
{
    struct redis_wire *w = task->privdata;
    w->choked |= elements > ELEMENTS_MAX;
    return w->choked ? NULL : w->plain.createArray(task, elements);
}

static redisReader *reader_create(struct redis_wire *w)
{
    redisReader *reader = redisReaderCreate();
    CHECK(reader != NULL);
    w->functions = w->plain = *reader->fn;
    w->functions.createString = create_string;
    w->functions.createArray = create_array;
    reader->fn = &w->functions;
    reader->privdata = w;
    return reader;
}

static void end(struct redis_wire *w, const char *why)
{
    w->ended = true;
    event_del(&w->readable);
    event_del(&w->writable);
    event_del(&w->flush);
    w->events.ended(w->arg, why);
}

/* False: there is no next one yet, or none will come. */
static bool next_reply(struct redis_wire *w, void **reply_out)
{
    char why[200];
    *reply_out = NULL;
    bool ok = redisReaderGetReply(w->reader, reply_out) == REDIS_OK;
    bool missing = ok && *reply_out == NULL;
    w->choked |= missing && w->reader->len - w->reader->pos > w->reply_max_bytes;
    if (!ok || w->choked) {
        snprintf(why, sizeof why, "what it says is not Redis's protocol: %s", w->reader->errstr);
        end(w, w->choked ? "an answer is longer than any that was asked for" : why);
        return false;
    }
    return !missing;
}

static void release(struct redis_wire *w)
{
    redisReaderFree(w->reader);
    close(w->fd);
    buf_deinit(&w->out);
    free(w);
}

static void take_bytes(struct redis_wire *w, const char *bytes, size_t count)
{
    void *reply;
    w->telling = true;
    if (redisReaderFeed(w->reader, bytes, count) != REDIS_OK)
        end(w, "out of memory for what it says");
    while (!w->ended && next_reply(w, &reply)) {
        w->events.replied(w->arg, reply);
        w->plain.freeObject(reply);
    }
    w->telling = false;
    if (w->doomed)
        release(w);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    static char bytes[READ_BYTES];
    struct redis_wire *w = arg;
    ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count > 0)
        take_bytes(w, bytes, (size_t)count);
    else if (count == 0)
        end(w, "the server closed the connection");
    else if (errno != EAGAIN && errno != EINTR)
        end(w, strerror(errno));
}

/* ---- commands ---- */

/* Where more is added all the time the end is never reached. What is moved was sent before, byte for byte. */
static void drop_sent(struct redis_wire *w)
{
    size_t left = w->out.len - w->sent;
    if (w->sent < left)
        return;
    memmove(w->out.at, w->out.at + w->sent, left);
    w->out.len = left;
    w->sent = 0;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_wire *w = arg;
    ssize_t count = send(w->fd, w->out.at + w->sent, w->out.len - w->sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
        end(w, strerror(errno));
        return;
    }
    w->sent += (size_t)MAX(count, 0);
    if (w->sent < w->out.len) {
        drop_sent(w);
        event_add(&w->writable, NULL);
        return;
    }
    w->out.len = w->sent = 0;
    if (w->out.cap > OUT_KEPT_BYTES)
        buf_deinit(&w->out);
}

static void add_count(struct buf *out, char kind, uint64_t count)
{
    char text[DIGITS_BYTES];
    struct slice digits = digits_of(count, text);
    buf_addc(out, kind);
    buf_add(out, digits.at, digits.len);
    buf_add(out, "\r\n", 2);
}

void redis_wire_send(struct redis_wire *w, int argc, const char *const *argv, const size_t *lens)
{
    if (w->ended)
        return;
    if (w->out.len == 0)
        event_active(&w->flush, EV_TIMEOUT, 1);
    add_count(&w->out, '*', (uint64_t)argc);
    for (int i = 0; i < argc; i++) {
        size_t len = lens ? lens[i] : strlen(argv[i]);
        add_count(&w->out, '$', len);
        buf_add(&w->out, argv[i], len);
        buf_add(&w->out, "\r\n", 2);
    }
}

size_t redis_wire_unsent_bytes(const struct redis_wire *w)
{
    return w->out.len - w->sent;
}

bool redis_wire_choked(const struct redis_wire *w)
{
    return w->choked;
}

/* ---- making ---- */

struct redis_wire *redis_wire_create(struct event_base *base, int fd, size_t reply_max_bytes,
                                     const struct redis_wire_events *events, void *arg)
{
    struct redis_wire *w = xcalloc(1, sizeof *w);
    *w = (struct redis_wire){.fd = fd, .reply_max_bytes = reply_max_bytes, .events = *events, .arg = arg};
    w->reader = reader_create(w);
    event_assign(&w->readable, base, fd, EV_READ | EV_PERSIST, on_readable, w);
    event_assign(&w->writable, base, fd, EV_WRITE, on_flush, w);
    event_assign(&w->flush, base, -1, 0, on_flush, w);
    event_add(&w->readable, NULL);
    return w;
}

void redis_wire_destroy(struct redis_wire **doomed)
{
    struct redis_wire *w = *doomed;
    *doomed = NULL;
    w->ended = true;
    event_del(&w->readable);
    event_del(&w->writable);
    event_del(&w->flush);
    w->doomed = w->telling;
    if (!w->telling)
        release(w);
}
