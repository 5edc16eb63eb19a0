/* Which form of its rows a consumer takes: Accept, RFC 9110 12.5.1. */
#ifndef WORKER_FORMAT_H
#define WORKER_FORMAT_H

#include "common/slice.h"
#include "sql/encode.h"

/* JSON unless another one is named and weighs more; also when it takes none of them, which is more use to it than a
 * refusal. */
enum encode_format format_of(struct slice accept);
/* The fields that tell a body's form, each with its CRLF. varies: other consumers get another one. */
struct slice format_head(enum encode_format format, bool varies);

#endif
