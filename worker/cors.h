/* What browsers ask before they give an answer to a program of another origin: the CORS protocol of the Fetch standard.
 */
#ifndef WORKER_CORS_H
#define WORKER_CORS_H

#include "common/arena.h"
#include "worker/http.h"

enum { CORS_FIELDS_MAX = 8 };

/* The fields that go with the answer to this request; returns how many. allow: the methods of its path. */
int cors_fields(const struct conf *conf, const struct http_request *request, struct slice allow, struct arena *arena,
                struct http_header out[CORS_FIELDS_MAX]);

#endif
