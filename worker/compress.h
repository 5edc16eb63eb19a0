/* gzip for the consumer of one answer: of a body that nobody will ask for again, or before there is a copy in the cache
 * that all share. A short body is compressed at once, a longer one by a thread (offload.h). */
#ifndef WORKER_COMPRESS_H
#define WORKER_COMPRESS_H

#include "common/buf.h"
#include "worker/request.h"

struct compress_pipe;

/* The operator wants answers like this one to be compressed. */
bool compress_is_on(const struct request *r);
/* And this consumer takes it. */
bool compress_is_wanted(const struct request *r);

/* gzip empty: it does not pay, or too much else waits to be compressed. Both are valid during the call. */
typedef void compress_done(void *arg, struct slice body, struct slice gzip);
/* True: *gzip_out, as above, until the next call. False: done comes from the loop; body is copied. */
bool compress_body(struct service *service, struct slice body, struct slice *gzip_out, compress_done *done,
                   void *arg) MUST_USE;

/* A body in pieces; each can be read when it has arrived. made comes for those that are not compressed at once. */
struct compress_pipe *compress_pipe_create(struct service *service, void (*made)(void *arg, struct slice bytes),
                                           void *arg) MUST_USE;
/* At any time. made does not come afterwards. */
void compress_pipe_destroy(struct compress_pipe **pipe);
/* What stands in the piece, which is emptied; ends: it is the last one. One at a time. True: *out is it, until the next
 * call. False: made comes from the loop. */
bool compress_piece(struct compress_pipe *pipe, struct buf *piece, bool ends, struct slice *out) MUST_USE;

#endif
