/* Requests within a request: the items of a batch, the parts of a fan. Each is served as one that a consumer sends,
 * from its route to its line in the log; its answer goes into memory instead of to a connection. It has the outer one's
 * consumer, deadline and header fields, without those that are about the outer one's own body and answer. */
#ifndef WORKER_INNER_H
#define WORKER_INNER_H

#include "worker/request.h"

struct inner_run;

struct inner_ask {
    enum http_method method;
    struct slice target, body;
    const char *label;           /* its id is the outer one's, a dot and this */
    struct http_refusal refusal; /* its status is not 0: it is refused with it */
};

struct inner_answer {
    int status;
    struct slice body;
    bool is_json;        /* else it is text, of the type that is told */
    struct slice type;   /* its Content-Type; empty: none */
    struct slice fields; /* of the other header fields those that a consumer needs, each with its CRLF */
    struct http_origin origin;
    const struct problem
        *problem; /* what the body tells, where perfd made it; NULL: it is an answer, or made elsewhere */
};

struct inner_work {
    const struct inner_ask *asks;
    int count, concurrency;
    size_t max_bytes; /* of all bodies */
    /* From the loop: each ask's answer, in whatever order and with its bytes valid during the call, then done. An ask
     * that is not answered at the deadline is answered 504 then. */
    void (*answered)(void *arg, int index, const struct inner_answer *answer);
    void (*done)(void *arg);
    void *arg;
};

/* shared: others may be given what is made of the answers, so they are to depend on nothing of the consumer's own:
 * of its header fields only those of its trace are handed on. */
struct inner_run *inner_create(const struct request *outer, bool shared) MUST_USE;
/* Where the asks are, with all that they point to: they may outlive the outer request. */
struct arena *inner_arena(struct inner_run *run);
/* Once. The run ends itself when all is done. */
void inner_start(struct inner_run *run, const struct inner_work *work);
/* Nobody waits any more, whether it was started or not: no call comes from now on, and those under way are told. */
void inner_forget(struct inner_run **run);

#endif
