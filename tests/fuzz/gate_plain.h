/* A second reader of requests, slow and plain, by regular expressions: what worker/http_head.h and worker/http_chunks.h
 * must agree with on all that is whole. Part of fuzz_gate.c. */
#ifndef TESTS_GATE_PLAIN_H
#define TESTS_GATE_PLAIN_H

#include "common/buf.h"
#include "worker/http_head.h"

/* Small, so that an input can reach them. */
enum { URI_MAX = 128, HEAD_MAX = 1024, BODY_MAX = 512, CHUNK_LINE_MAX = 4096, INPUT_MAX = 1 << 16 };

enum grammar { REQUEST_LINE, OTHER_VERSION, FIELD, ABSOLUTE, NAME_AND_PORT, PORT, DIGITS, SIZE_LINE, GRAMMARS };

struct plain {
    struct slice method, target, host, given; /* given: the target as it came, an absolute form whole */
    size_t bytes;                             /* of the lines that are whole */
    int minor;
    int field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
    int hosts, lengths, codings, expects;
    bool good_host, good_length, good_coding, expects_other, close, keep;
    bool extended; /* a chunk is */
    uint64_t length;
};

void plain_setup(void);
bool plain_is(enum grammar grammar, struct slice text);
bool plain_is_word(struct slice s, const char *word); /* whatever its case */
struct slice plain_skip(struct slice s, size_t bytes);
struct slice plain_cut(struct slice *rest, char separator);      /* what is before it; *rest is behind it */
bool plain_cut_line(struct slice *rest, struct slice *line_out); /* without its end; false: none is whole */

enum http_read plain_read_head(struct slice bytes, struct plain *out);
/* MORE: of the lines and the data so far nothing is wrong; *rest is what of a line has come. *extended: a chunk has an
 * extension. */
enum http_read plain_read_chunks(struct slice *rest, struct buf *body, bool *extended);

#endif
