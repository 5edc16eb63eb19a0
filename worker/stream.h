/* The rows of a read on their way to an answer: gathered while they are few enough to be held, else sent while they are
 * read, and read only as fast as the consumer takes them. */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include "common/buf.h"
#include "sql/pool.h"
#include "worker/request.h"

struct stream {
    struct request *r;
    struct pool_taker taker; /* for its pool_work */
    struct pool_job *job;    /* the owner's to set */
    size_t hold_bytes;       /* a body above that is sent while it is read */
    bool (*begins)(void *arg);
    void *arg;
    struct encoding encoding;
    struct buf body;  /* what is not sent yet */
    struct err wrong; /* its text is not empty: what the rows cannot be written for */
    bool sends, waits, head_only;
    struct compress_pipe *pipe; /* NULL: it is sent as it is */
    bool compressing;           /* a piece, of which made_piece() will hear */
    bool last;                  /* the piece is the last one */
    bool ended;                 /* all rows have come, and wait for it */
    size_t sent_bytes;
};

/* begins() is told when the body outgrows hold_bytes; false: nobody wants such a long one. */
void stream_init(struct stream *s, struct request *r, size_t hold_bytes, bool (*begins)(void *arg), void *arg);

enum stream_end {
    STREAM_WHOLE,  /* the body is the answer, for the caller to give to stream_recycle() */
    STREAM_SENT,   /* it is answered, or was cut */
    STREAM_FAILED, /* r->problem says why */
};
/* With what became of the work. */
enum stream_end stream_end(struct stream *s, const struct pool_outcome *outcome, struct buf *body_out) MUST_USE;
/* The consumer is gone and the work forgotten. True: it was being sent, and the request is answered with that. */
bool stream_cut(struct stream *s) MUST_USE;
/* The consumer has taken most of what was sent. */
void stream_go_on(struct stream *s);
/* Its memory may serve the next one. */
void stream_recycle(struct buf *body);

#endif
