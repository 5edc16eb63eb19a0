/* Where a page of rows ended, as text that a consumer hands back: opaque to it, and never trusted. In base64url,
 * without padding: a version, a check over what follows and over whom the cursor belongs to, then the values of the
 * page's keys.
 *
 * The check finds what was damaged, shortened, or made for another query. It is no secret: whoever makes up a cursor
 * that passes has chosen values, which are bound like those of any other parameter. */
#ifndef WORKER_CURSOR_H
#define WORKER_CURSOR_H

#include "common/buf.h"
#include "sql/param.h"

enum { CURSOR_VALUES_BYTES_MAX = 3000 }; /* of all values: a target must have room for the cursor */

/* Appends the cursor. False: the values are too long. owner: a hash of all that it is of use with. */
bool cursor_encode(struct buf *out, uint64_t owner, const struct param_value *values, int count) MUST_USE;
/* False: it is no cursor of this owner with so many values. The values may be of any bytes but too many of them. */
bool cursor_decode(struct slice text, uint64_t owner, struct arena *arena, struct param_value *values_out,
                   int count) MUST_USE;

#endif
