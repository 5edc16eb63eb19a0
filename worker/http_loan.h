/* Bodies that are sent from memory of somebody else, who wants it back: the cache's, which frees no segment while it is
 * read. Part of the door to HTTP. */
#ifndef WORKER_HTTP_LOAN_H
#define WORKER_HTTP_LOAN_H

#include "worker/http.h"

struct evbuffer;
struct http_loan;

struct http_loans {
    struct http_loan *first;
    int count;
};

/* Adds the body without copying it; it will stand in stream, which may be the same. Its release comes once the last
 * byte is sent, or the connection gone. */
void http_loan_add(struct http_loans *loans, struct evbuffer *to, struct evbuffer *stream, const struct http_body *body,
                   int64_t now_us);
/* Copies what is left of those that are wanted back and took long already. */
void http_loans_return(struct http_loans *loans, int64_t now_us);

#endif
