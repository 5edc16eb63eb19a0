/* The body of a batch, read: an array of {"id", "method", "path", "body"}, of which only the path must be there. */
#ifndef WORKER_BATCH_ITEMS_H
#define WORKER_BATCH_ITEMS_H

#include "worker/http_head.h"
#include "worker/problem.h"

struct batch_item {
    struct slice id; /* as it was written: a JSON string or number; else the item's place in the array, from 0 */
    enum http_method method;
    struct slice path; /* decoded from JSON */
    struct slice body; /* a JSON value as it was written; empty: none */
};

/* In arena, pointing into body. False: problem tells status, code and detail, and where in the body it is wrong. */
bool batch_items_read(struct slice body, int most, struct arena *arena, struct batch_item **items_out, int *count_out,
                      struct problem *problem) MUST_USE;

#endif
