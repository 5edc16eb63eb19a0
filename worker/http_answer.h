/* What the door to HTTP writes: heads, and bodies whole or in pieces, by the gate itself or through evhttp
 * (http_evhttp.c). Private to the door. */
#ifndef WORKER_HTTP_ANSWER_H
#define WORKER_HTTP_ANSWER_H

#include "common/digits.h"
#include "worker/http_loan.h"

#include <time.h>

enum { HTTP_DATE_BYTES = 38, ANSWER_FIELDS_MAX = 32 };

struct http_answers {
    struct http_loans loans;
    bool last; /* connections end with their answers */
    time_t date_of;
    char date[HTTP_DATE_BYTES]; /* as a whole line */
};

/* Of the connection's door. */
struct http_answers *http_answers_of(const struct http_conn *conn);

struct http_fields {
    struct http_header at[ANSWER_FIELDS_MAX];
    int count;
    char length[DIGITS_BYTES];
};

const char *http_reason(int status);

/* ---- http_evhttp.c: for a request that evhttp holds ---- */

/* body NULL: none is sent. */
void http_evhttp_reply(struct http_answers *answers, struct http_request *request, int status,
                       const struct http_fields *fields, const struct http_body *body);
void http_evhttp_begin(struct http_request *request, int status, const struct http_fields *fields);
void http_evhttp_piece(struct http_request *request, struct slice bytes);
void http_evhttp_end(struct http_request *request); /* of an answer in pieces, or of a request whose consumer is gone */
/* Nobody is there: evhttp frees what it has of it. */
void http_evhttp_forget(struct http_request *request);

#endif
