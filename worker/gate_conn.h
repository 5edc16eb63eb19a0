/* One connection of the gate, as the files that the gate is made of see it:
 *
 *   gate.c          it begins and ends; evhttp's view of it
 *   gate_read.c     bytes from the socket, through TLS where there is any
 *   gate_shake.c    the handshake of TLS
 *   gate_frame.c    from bytes to requests, one after the other
 *   gate_message.c  a request that is handed on, or refused
 *   gate_send.c     answers to the socket
 *   gate_watch.c    what it waits for, and for how long */
#ifndef WORKER_GATE_CONN_H
#define WORKER_GATE_CONN_H

#include "worker/gate.h"
#include "worker/http_chunks.h"

#include <errno.h>
#include <event2/event.h>

/* READ_BYTES: of a socket at a time. IN_MAX: what a consumer may send while it waits for an answer. SEALED_BYTES: of
 * TLS at a time; with what an earlier piece of a record left, its text has room. */
enum { READ_BYTES = 64 << 10, IN_MAX = 64 << 10, SEALED_BYTES = 32 << 10 };

enum gate_state {
    GATE_STARTING,  /* evhttp has not told its socket yet */
    GATE_PROXY,     /* what a proxy says of the connection */
    GATE_READING,   /* a head */
    GATE_BODY,      /* the body of `message` */
    GATE_BUSY,      /* `message` is being worked on */
    GATE_ENDING,    /* the last answer is being sent */
    GATE_LINGERING, /* it is sent; what the consumer still sends is thrown away, so that it can read the answer */
    GATE_DEAD
};

struct http_conn {
    struct gate *gate;
    struct bufferevent *shell, *socket; /* evhttp's; the second one only owns the descriptor */
    int fd;
    enum gate_state state;
    struct event turn, readable, writable;
    struct buf in;             /* received, not used yet */
    struct tls_conn *tls;      /* NULL: none */
    struct offload_job *shake; /* a thread has tls, for a step of its handshake; NULL: none */
    struct evbuffer *sealed;   /* of `out`, what the socket did not take of its TLS form; NULL: nothing */
    struct evbuffer *out;      /* what the socket did not take at once; NULL: nothing */
    struct gate_message *message;
    bool taking; /* its bytes are being gone through: what is written is gathered */
    bool choked; /* not read from until it has taken its answers */
    bool blank;  /* the one empty line before a request has come */
    bool heard;  /* something came */
    bool unread; /* it may send more of a request that was refused */
    enum gate_watch watch;
    int64_t watched_us;
    int queued; /* bytes that the kernel had for the consumer then */
    TAILQ_ENTRY(http_conn) watched;
    char remote[ADDRESS_BYTES];
    bool trusted; /* remote is a proxy of the operator's */
};

/* A request on its way through evhttp, with all that its slices point to. */
struct gate_message {
    struct http_request request;
    struct http_head head;
    struct http_chunks chunks;
    struct buf body;
    char bytes[]; /* the head's */
};

static inline bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ---- gate.c ---- */

/* The socket is not used any more. evhttp may be working on the connection further up the stack, so its end comes from
 * the loop. */
void conn_end(struct http_conn *conn);
/* The same, and nobody waits for the answer that is being worked on. */
void conn_gone(struct http_conn *conn);

/* ---- gate_read.c ---- */

void conn_on_readable(evutil_socket_t fd, short what, void *conn);
/* TLS was fed. Goes on with what it makes of it. */
void conn_read_sealed(struct http_conn *conn, int64_t now_us);

/* ---- gate_shake.c ---- */

bool conn_is_handshaking(const struct http_conn *conn);
/* TLS was fed. True: the step that follows is a thread's, and conn_read_sealed() comes after it. */
bool conn_shake(struct http_conn *conn);
void conn_end_tls(struct http_conn *conn);

/* ---- gate_frame.c ---- */

/* Goes through bytes; what cannot be used yet stays with the connection. */
void conn_consume(struct http_conn *conn, struct slice bytes, int64_t now_us);
/* The same with what stayed with it, and reads on. */
void conn_go_on(struct http_conn *conn, int64_t now_us);
void conn_know_peer(struct http_conn *conn); /* `remote` is told */

/* ---- gate_message.c ---- */

/* A head was read, the first of bytes. True: go on with what follows it. */
bool conn_begin(struct http_conn *conn, struct slice bytes, int64_t now_us);
void conn_pass(struct http_conn *conn); /* `message` is complete: to evhttp */
/* Answered by the handler like a request, then the connection ends. bytes: of one whose head is no good; its first line
 * stands for its target, so that the log tells what came. */
void conn_refuse(struct http_conn *conn, enum http_method method, struct slice bytes, const struct http_refusal *why,
                 int64_t now_us);
void gate_message_destroy(struct gate_message *message);

/* ---- gate_send.c ---- */

void conn_on_writable(evutil_socket_t fd, short what, void *conn);
size_t conn_output_bytes(const struct http_conn *conn); /* what the socket did not take yet */
static inline bool conn_has_output(const struct http_conn *conn)
{
    return (conn->out != NULL || conn->sealed != NULL) && conn_output_bytes(conn) > 0;
}
/* What was gathered is not sent any more. */
void conn_forget_output(struct http_conn *conn);
/* What was gathered: to the socket when nothing is before it. */
void conn_flush(struct http_conn *conn);
/* The same and conn_send_out(), once the connection's bytes were gone through; it is the writer no more. */
void conn_deliver(struct http_conn *conn, bool moved, int64_t now_us);
/* What waits for the socket. moved: the connection has come nearer to what it waits for, if it is not this. */
void conn_send_out(struct http_conn *conn, bool moved, int64_t now_us);
void conn_send_sealed(struct http_conn *conn); /* what TLS has to say */

/* ---- gate_watch.c ---- */

/* The state has changed. moved: what it waits for has come nearer, its time begins anew. */
void conn_watch(struct http_conn *conn, bool moved, int64_t now_us);
void gate_on_overdue(evutil_socket_t fd, short what, void *gate);

#endif
