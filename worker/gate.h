/* The gate: every connection of consumers, in front of evhttp. It reads and writes the sockets itself, frames requests
 * strictly (http_head.h, http_chunks.h), keeps their deadlines, lets `hit` answer what it can at once, and hands the
 * rest on, one request of a connection at a time and in order.
 *
 * evhttp gets a connection whose socket it neither reads nor writes: a filter whose input the gate fills, whose output
 * the gate takes, and whose end the gate decides. Private to worker/http.c and what it is made of. */
#ifndef WORKER_GATE_H
#define WORKER_GATE_H

#include "common/buf.h"
#include "common/conf.h"
#include "worker/http.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

struct bufferevent;
struct evbuffer;

/* What a connection waits for, each with a time of its own. Within a list the one that has waited longest is first. */
enum gate_watch {
    WATCH_NEW, /* its first byte */
    WATCH_IDLE,
    WATCH_HEAD,
    WATCH_BODY,
    WATCH_SEND,
    WATCH_DEAF, /* an answer, with so much sent meanwhile that its end would not be seen: it is looked for */
    WATCH_LINGER,
    WATCH_COUNT,
    WATCH_NONE = WATCH_COUNT
};

TAILQ_HEAD(gate_list, http_conn);

/* hit: true when it has answered; else the request goes on to evhttp and comes back by gate_take(). handle: one that
 * evhttp need not see. */
struct gate_calls {
    bool (*hit)(void *arg, struct http_request *request);
    void (*handle)(void *arg, struct http_request *request);
    void (*changed)(void *arg); /* connections came or went */
};

struct gate {
    struct event_base *base;
    const struct conf *conf;
    const struct tls *tls; /* NULL: none */
    struct offload *offload;
    bool behind_proxy;
    struct gate_calls calls;
    void *arg;
    struct gate_list lists[WATCH_COUNT];
    int connections;
    struct http_conn *passing; /* the one whose request evhttp is given now */
    struct http_conn *writer;  /* the one that `pending` is for */
    struct buf pending;        /* answers, to be sent with one call */
    struct buf room;           /* of one that has no writer */
    char *scratch;             /* what is read */
    size_t scratch_bytes;
    char *received;        /* of TLS, before it is read */
    struct http_head head; /* of the request that is looked at */
    /* When the latest answer of this turn of the loop was made; 0: the clock has to be read. */
    int64_t turn_us;
    struct event turn_over;
    int64_t kept_at_us;   /* when that was summed up */
    size_t kept_bytes;    /* of answers, for consumers to take */
    struct event overdue; /* more connections are due than were ended at once */
};

void gate_init(struct gate *gate, struct event_base *base, const struct conf *conf, const struct gate_calls *calls,
               void *arg);
void gate_deinit(struct gate *gate);
/* For evhttp_set_bevcb(): a connection was accepted. */
struct bufferevent *gate_accept(struct event_base *base, void *gate);

/* evhttp has called back within gate's call of it: the request that this is about. hold: evhttp's. */
struct http_request *gate_take(struct gate *gate, void *hold);
void *gate_arg(const struct http_conn *conn); /* gate_init()'s */

/* What is written until gate_answered() leaves with one call, unless another connection's does. */
void gate_begin(struct http_conn *conn);
/* Bytes of an answer, in order. */
void gate_write(struct http_conn *conn, struct slice bytes);
/* The same for those that are made in place: room for so many, of which as many as gate_wrote() tells count. */
char *gate_room(struct http_conn *conn, size_t most);
void gate_wrote(struct http_conn *conn, size_t len);
struct evbuffer *
gate_out(struct http_conn *conn);       /* the same for those that are not copied; what was written is in it */
void gate_pull(struct http_conn *conn); /* takes what evhttp has written */
/* What evhttp writes from here on is not taken before it is told whom to tell that it was. */
void gate_hold(struct http_conn *conn);
/* What was written goes out, from the loop: of an answer that is not complete. */
void gate_push(struct http_conn *conn);
size_t gate_waiting(const struct http_conn *conn); /* bytes that the consumer has not taken */
/* All consumers together have not taken more than stream_memory. */
bool gate_is_over_memory(const struct http_conn *conn);
/* Ends the connection with what was written lost, and as the consumer sees that it is. */
void gate_cut(struct http_conn *conn);
/* The answer is complete. The request is gone, and so may be the connection when the call returns to the loop. */
void gate_answered(struct http_request *request, bool close);

/* A few times a second: ends what has waited too long. */
void gate_tick(struct gate *gate);
/* Ends connections that have been idle since before_us. */
void gate_end_idle(struct gate *gate, int64_t before_us);
/* Ends the one that has been idle for longest; false: none is. */
bool gate_end_one(struct gate *gate);

#endif
