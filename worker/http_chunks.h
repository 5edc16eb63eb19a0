/* A chunked body (RFC 9112 7.1), read to the letter while it arrives. */
#ifndef WORKER_HTTP_CHUNKS_H
#define WORKER_HTTP_CHUNKS_H

#include "common/buf.h"
#include "worker/http_head.h"

struct http_chunks {
    enum { CHUNKS_SIZE, CHUNKS_DATA, CHUNKS_DATA_END, CHUNKS_TRAILERS } state;
    uint64_t left; /* of the chunk's data */
};

/* Takes what it can of bytes, *used, and appends the data to body. What is not used is to come again with more behind
 * it. A body above body_max is refused. */
enum http_read http_chunks_read(struct http_chunks *chunks, struct slice bytes, int64_t body_max, int64_t trailers_max,
                                struct buf *body, size_t *used, struct http_refusal *why);

#endif
