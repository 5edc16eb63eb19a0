/* The head of an HTTP/1 request, read to the letter of RFC 9112 and RFC 9110. What two readers could take for different
 * requests is refused, never guessed at. Nothing is copied: every slice lies within the bytes given. */
#ifndef WORKER_HTTP_HEAD_H
#define WORKER_HTTP_HEAD_H

#include "common/arena.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };
extern const char *const http_method_names[];

enum { HTTP_FIELDS_MAX = 100 };

struct http_field {
    struct slice name, value; /* the value without white space around it */
};

/* Why a request is refused; its connection ends with the answer. */
struct http_refusal {
    int status;         /* 0: it is not */
    const char *code;   /* stable word for programs */
    const char *detail; /* for humans */
};

struct http_head {
    enum http_method method;
    struct slice
        target; /* "/path?query"; of an absolute form what follows its authority, which may be "" or "?query"; "*" */
    int minor;  /* of HTTP/1.minor: 0 or 1 */
    bool keep_alive; /* the connection may stay, as far as the consumer is concerned */
    bool chunked;    /* the body is; then length is 0 */
    bool expects_continue;
    uint64_t length; /* of the body; 0 when there is none */
    size_t bytes;    /* of the whole head, its last line included */
    int field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

enum http_read {
    HTTP_READ_MORE,  /* all well so far, but it is not whole */
    HTTP_READ_WHOLE, /* all of *out is told */
    HTTP_READ_BAD    /* *why tells; of *out only the method counts, HTTP_OTHER where none was seen */
};

/* bytes begin with the request line. uri_max: bytes of a target; head_max: of the whole head. */
enum http_read http_head_read(struct slice bytes, int64_t uri_max, int64_t head_max, struct http_head *out,
                              struct http_refusal *why);

/* The value of the first field of that name, which is of letters, digits and hyphens, in whatever case; at NULL: none.
 */
struct slice http_head_field(const struct http_head *head, const char *name, size_t len);
/* The same for a field whose value is a list: those of all its lines, RFC 9110 5.3. */
struct slice http_head_list(const struct http_head *head, const char *name, size_t len, struct arena *arena);

/* Reads field lines up to the empty one, which it includes: a head's, or a chunked body's trailers. *used: their bytes.
 */
enum http_read http_fields_read(struct slice bytes, struct http_field *fields, int *count, size_t *used,
                                struct http_refusal *why);

#endif
