/* application/problem+json (RFC 9457): what a consumer gets instead of an answer. */
#ifndef WORKER_PROBLEM_H
#define WORKER_PROBLEM_H

#include "common/arena.h"
#include "common/buf.h"

struct problem_error {
    const char *parameter; /* NULL: of the body */
    long offset;           /* byte of the body; -1: none */
    const char *detail;
    struct problem_error *next;
};

struct problem {
    int status;
    const char *code;   /* stable word for programs: "bad_parameter" */
    const char *detail; /* for humans, may be NULL */
    const char *part;   /* of a fan, that it comes from; NULL: none */
    struct problem_error *errors, *last;
};

void problem_add(struct problem *p, struct arena *arena, const char *parameter, long offset, const char *detail);
void problem_write(const struct problem *p, const char *request_id, struct buf *out);
const char *problem_title(int status); /* the status's phrase, RFC 9110 */

#endif
