/* The exits of a request: headers, the log line, counters and histograms. Each ends its exchange with the consumer and
 * releases it. */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include "worker/request.h"

/* Header fields of an answer with a body, ready for the wire. */
#define REPLY_JSON_HEAD "Content-Type: application/json\r\n"

struct answer {
    int status;
    struct slice body;
    struct slice gzip; /* the same compressed; empty: none */
    struct slice head; /* header fields, each with its CRLF */
    const char *etag;  /* with its quotes; NULL: none */
    int64_t age_us;    /* since it was fetched; -1: it is new */
    bool varies;       /* some consumers get its gzip */
    struct slice vary; /* what else it depends on; empty: nothing */
    bool once;         /* no copy of it is shared: gzip is made for this consumer if it takes that */
    /* release NULL: the slices are copied. Else they are borrowed, as in struct http_body. */
    void (*release)(void *arg);
    bool (*is_wanted)(void *arg);
    void *arg;
};

/* own_head: header fields that belong to the representation; empty: none. */
void reply_etag(struct slice body, struct slice own_head, char etag_out[CACHE_ETAG_BYTES]);

/* An answer in pieces, of the route's status; head: header fields. The pieces go by http_stream_add(), compressed when
 * gzip says so. */
void reply_stream_begin(struct request *r, struct slice head, bool gzip);
/* whole false: it is cut off. */
void reply_stream_end(struct request *r, size_t sent_bytes, bool whole);
/* A finished answer, or 304 when a GET's If-None-Match has its ETag. The exchange may end later, when it has been
 * compressed. */
void reply_answer(struct request *r, const struct answer *answer);
/* request->problem, with what its status asks for (Allow, Retry-After). */
void reply_problem(struct request *r);
/* The same in one call; detail may be NULL. */
void reply_refuse(struct request *r, int status, const char *code, const char *detail);
/* 204 with Allow. */
void reply_options(struct request *r);

#endif
