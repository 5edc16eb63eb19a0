/* An HTTP/1.1 answer as it comes (RFC 9112), strictly: what could be understood in two ways is malformed. Bodies are
 * counted and dropped. Bytes are taken up to the answer's end and never beyond it. */
#ifndef CTL_LOAD_ANSWER_H
#define CTL_LOAD_ANSWER_H

#include "common/slice.h"

enum answer_state {
    ANSWER_STATUS_LINE, /* also behind a 1xx */
    ANSWER_FIELDS,
    ANSWER_LENGTH, /* a body of `left` bytes */
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK,
    ANSWER_CHUNK_END,
    ANSWER_TRAILERS,
    ANSWER_TO_THE_END, /* a body that ends with the connection */
    ANSWER_WHOLE,
    ANSWER_MALFORMED
};

enum { ANSWER_LINE_BYTES = 16 << 10, ANSWER_LINES_MAX = 200 };

struct answer {
    enum answer_state state;
    int status;
    bool head_only;  /* it answers HEAD */
    bool keep_alive; /* the connection may be used again */
    bool begun;      /* a byte has come */
    bool chunked;
    int64_t length; /* -1: no Content-Length */
    int64_t left;
    int lines;
    uint32_t line_len;
    char line[ANSWER_LINE_BYTES]; /* the part of one that came */
};

void answer_reset(struct answer *answer, bool head_only);
/* How many of the bytes are the answer's: fewer than there are only where it is whole or malformed. */
size_t answer_read(struct answer *answer, const char *bytes, size_t len);
/* The connection has ended; whether that made it whole. */
bool answer_end(struct answer *answer);

#endif
