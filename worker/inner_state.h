/* Requests within a request, as the files that they are made of see them, and nobody else:
 *
 *   inner.c         they begin and end, so many at a time
 *   inner_answer.c  what each is answered, until it is told */
#ifndef WORKER_INNER_STATE_H
#define WORKER_INNER_STATE_H

#include "worker/inner.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

#define JSON_TYPE SLICE("application/json")

struct inner {
    struct http_request http;
    struct inner_run *run;
    int index;
    bool overflows; /* its answer is longer than there is room for; it is not over yet */
    int status;
    bool json;  /* its body is, by its type and, where it was made elsewhere, by what it holds */
    bool unfit; /* its body is neither JSON nor text */
    struct buf body;
    struct http_body lent; /* in its place, where its release is not NULL */
    struct slice type, fields;
    const struct problem *problem; /* NULL: it is none that we know */
    TAILQ_ENTRY(inner) at;
};

TAILQ_HEAD(inner_list, inner);

struct inner_run {
    struct service *service;
    struct arena *arena;
    struct http_head *head; /* that all of them have */
    const struct http_head *asker;
    const char *id; /* of the outer one */
    char remote[ADDRESS_BYTES];
    int depth;
    int64_t deadline_us;
    struct inner_work work;
    struct inner_list running, ended;
    int next, running_count, answered_count;
    bool *answered; /* [index] */
    size_t left_bytes;
    bool turning, over; /* over: nobody waits */
    struct event turn, late;
};

/* ---- inner.c ---- */

void inner_turn_soon(struct inner_run *run);
/* Its answer is complete: it is told from the loop. */
void inner_end(struct inner *inner);

/* ---- inner_answer.c ---- */

extern const struct http_taker inner_taker;

/* In place of an answer that cannot be given. */
void inner_refuse(struct inner *inner, int status, const char *code, const char *detail);
void inner_tell(struct inner_run *run, struct inner *inner);
void inner_give_back(struct inner *inner); /* what it holds of its answer */

#endif
