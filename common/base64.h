/* Base64 (RFC 4648): padded, or in its url form without padding (section 5). */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include "common/buf.h"

enum base64_form { BASE64_PADDED, BASE64_URL };

void base64_encode(struct buf *out, struct slice bytes, enum base64_form form);
/* False: it is not base64 of this form; out holds nothing of use then. Of the url form exactly what base64_encode()
 * writes is accepted: bits that no byte has are 0. */
bool base64_decode(struct buf *out, struct slice text, enum base64_form form) MUST_USE;

#endif
