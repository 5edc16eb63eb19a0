/* Which coding of a body a consumer takes: Accept-Encoding, RFC 9110 12.5.3. */
#ifndef WORKER_ENCODING_H
#define WORKER_ENCODING_H

#include "common/slice.h"

/* gzip is named, or x-gzip, or * stands for it, and its weight is neither 0 nor below that of identity. No field: no.
 */
bool encoding_takes_gzip(struct slice accept_encoding) MUST_USE;

#endif
