/* The exits of a request: headers, the log line, counters and histograms. Each frees the request. */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include "worker/request.h"

struct answer {
    int status;
    struct slice body;
    const char *content_type; /* NULL: no body */
    const char *etag;         /* with its quotes; NULL: none */
    int64_t age_us;           /* since it was fetched; -1: it is new */
};

enum { ETAG_BYTES = 36 };
void reply_etag(struct slice body, char etag_out[ETAG_BYTES]);

/* A finished answer, or 304 when a GET's If-None-Match has its ETag. */
void reply_answer(struct request *r, const struct answer *answer);
/* request->problem, with what its status asks for (Allow, Retry-After). */
void reply_problem(struct request *r);
/* The same in one call; detail may be NULL. */
void reply_refuse(struct request *r, int status, const char *code, const char *detail);
/* 204 with Allow. */
void reply_options(struct request *r);

#endif
