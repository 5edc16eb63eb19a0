#include "worker/http_chunks.h"

enum { LINE_MAX = 4096, DIGITS_MAX = 15 };

static enum http_read bad(struct http_refusal *why, int status, const char *code, const char *detail)
{
    *why = (struct http_refusal){status, code, detail};
    return HTTP_READ_BAD;
}

static enum http_read malformed(struct http_refusal *why, const char *detail)
{
    return bad(why, 400, "bad_chunk", detail);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static const char *skip_token(const char *at, const char *end)
{
    while (at < end && is_token(*at))
        at++;
    return at;
}

/* Behind the closing quote; NULL: there is none, or a control byte before it. RFC 9110 5.6.4. */
static const char *skip_quoted(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && ++at == end)
            return NULL;
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return NULL;
    }
    return at < end ? at + 1 : NULL;
}

/* *( BWS ";" BWS name [ BWS "=" BWS value ] ), up to the end. */
static bool are_extensions(const char *at, const char *end)
{
    while (at < end) {
        at = skip_blanks(at, end);
        if (at == end || *at != ';')
            return false;
        const char *name = skip_blanks(at + 1, end);
        at = skip_token(name, end);
        if (at == name)
            return false;
        const char *equals = skip_blanks(at, end);
        if (equals == end || *equals != '=')
            continue;
        const char *value = skip_blanks(equals + 1, end);
        at = value < end && *value == '"' ? skip_quoted(value, end) : skip_token(value, end);
        if (at == NULL || at == value)
            return false;
    }
    return true;
}

/* The line of a chunk's size, which ends with CR LF. */
static enum http_read read_size(struct slice line, uint64_t *size, struct http_refusal *why)
{
    const char *at = line.at, *end = at + line.len;
    int digits = 0;
    *size = 0;
    for (; at < end && hex(*at) >= 0; at++, digits++)
        *size = digits < DIGITS_MAX ? *size * 16 + (uint64_t)hex(*at) : *size;
    if (digits == 0)
        return malformed(why, "a chunk does not begin with its size in hexadecimal digits");
    if (!are_extensions(at, end))
        return malformed(why, "what follows a chunk's size is no extension");
    if (digits > DIGITS_MAX)
        return bad(why, 413, "body_too_large", "the body is longer than max_body");
    return HTTP_READ_WHOLE;
}

static enum http_read on_size(struct http_chunks *c, struct slice bytes, size_t *used, struct http_refusal *why)
{
    const char *line_end = bytes.len > 0 ? memchr(bytes.at, '\n', bytes.len) : NULL;
    size_t len = line_end ? (size_t)(line_end - bytes.at) : bytes.len;
    if (len > LINE_MAX)
        return malformed(why, "the line of a chunk's size is too long");
    if (len > 0 && hex(bytes.at[0]) < 0)
        return malformed(why, "a chunk does not begin with its size in hexadecimal digits");
    if (line_end == NULL)
        return HTTP_READ_MORE;
    if (len == 0 || line_end[-1] != '\r')
        return malformed(why, "a chunk's line ends without a carriage return");
    enum http_read read = read_size(slice_of(bytes.at, len - 1), &c->left, why);
    *used = len + 1;
    c->state = c->left > 0 ? CHUNKS_DATA : CHUNKS_TRAILERS;
    return read;
}

static enum http_read on_data_end(struct http_chunks *c, struct slice bytes, size_t *used, struct http_refusal *why)
{
    if (memcmp(bytes.at, "\r\n", MIN(bytes.len, (size_t)2)) != 0)
        return malformed(why, "a chunk's data is longer than its size");
    if (bytes.len < 2)
        return HTTP_READ_MORE;
    *used = 2;
    c->state = CHUNKS_SIZE;
    return HTTP_READ_WHOLE;
}

/* RFC 9112 7.1.2: they may be ignored, and nothing here needs any. */
static enum http_read on_trailers(struct slice bytes, int64_t most, size_t *used, struct http_refusal *why)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    int count;
    struct slice looked_at = slice_of(bytes.at, (size_t)MIN((int64_t)bytes.len, most));
    enum http_read read = http_fields_read(looked_at, fields, &count, used, why);
    if (read == HTTP_READ_MORE && looked_at.len < bytes.len)
        return bad(why, 431, "head_too_large", "the request's trailers are longer than max_head");
    return read;
}

static enum http_read step(struct http_chunks *c, struct slice bytes, int64_t body_max, struct buf *body, size_t *used,
                           struct http_refusal *why)
{
    *used = 0;
    if (bytes.len == 0)
        return HTTP_READ_MORE;
    if (c->state == CHUNKS_SIZE) {
        enum http_read read = on_size(c, bytes, used, why);
        if (read == HTTP_READ_WHOLE && c->left > (uint64_t)body_max - MIN((uint64_t)body_max, body->len))
            return bad(why, 413, "body_too_large", "the body is longer than max_body");
        return read;
    }
    if (c->state == CHUNKS_DATA_END)
        return on_data_end(c, bytes, used, why);
    *used = (size_t)MIN(c->left, (uint64_t)bytes.len);
    buf_add(body, bytes.at, *used);
    c->left -= *used;
    if (c->left == 0)
        c->state = CHUNKS_DATA_END;
    return HTTP_READ_WHOLE;
}

enum http_read http_chunks_read(struct http_chunks *c, struct slice bytes, int64_t body_max, int64_t trailers_max,
                                struct buf *body, size_t *used, struct http_refusal *why)
{
    size_t one;
    *used = 0;
    while (c->state != CHUNKS_TRAILERS) {
        enum http_read read = step(c, slice_of(bytes.at + *used, bytes.len - *used), body_max, body, &one, why);
        if (read != HTTP_READ_WHOLE)
            return read;
        *used += one;
    }
    enum http_read read = on_trailers(slice_of(bytes.at + *used, bytes.len - *used), trailers_max, &one, why);
    if (read == HTTP_READ_WHOLE)
        *used += one;
    return read;
}
