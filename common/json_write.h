/* JSON out: strings with RFC 8259 escapes, whole numbers without printf. The caller writes braces and commas. */
#ifndef COMMON_JSON_WRITE_H
#define COMMON_JSON_WRITE_H

#include "common/buf.h"

void json_write_string(struct buf *out, struct slice s); /* quotes included; s must be UTF-8 */
void json_write_int(struct buf *out, int64_t n);
/* `"name":` with a comma in front unless the last byte written opened an object or array. */
void json_write_key(struct buf *out, const char *name);

#endif
