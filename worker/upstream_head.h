/* The head of an upstream's answer, line by line as libcurl gives it. What could do harm in a head of ours is left out:
 * lines that are no fields, values with control characters. */
#ifndef WORKER_UPSTREAM_HEAD_H
#define WORKER_UPSTREAM_HEAD_H

#include "common/buf.h"
#include "worker/http.h"

enum { UPSTREAM_FIELDS_MAX = 100, UPSTREAM_HEAD_BYTES = 64 << 10 };

struct upstream_head {
    int status; /* 0: not whole yet, or only 1xx so far */
    bool begun, whole;
    int count;
    struct buf bytes; /* name NUL value NUL ... */
    struct {
        uint32_t name, name_len, value, value_len;
    } at[UPSTREAM_FIELDS_MAX];
    struct http_header fields[UPSTREAM_FIELDS_MAX];
};

void upstream_head_reset(struct upstream_head *head);
void upstream_head_deinit(struct upstream_head *head);
/* line: with its end. False: there is too much of it. */
bool upstream_head_add(struct upstream_head *head, struct slice line) MUST_USE;
/* head->count of them, until the next call. */
const struct http_header *upstream_head_fields(struct upstream_head *head);

#endif
