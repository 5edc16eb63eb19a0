#include "master/ctl/load/answer.h"
#include "common/digits.h"

#define CHUNK_MAX (INT64_C(1) << 40)

void answer_reset(struct answer *a, bool head_only)
{
    a->state = ANSWER_STATUS_LINE;
    a->status = 0;
    a->head_only = head_only;
    a->begun = false;
    a->lines = 0;
    a->line_len = 0;
}

/* ---- the head ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum answer_state read_status_line(struct answer *a, struct slice line)
{
    const char *at = line.at;
    if (line.len < 12 || memcmp(at, "HTTP/1.", 7) != 0 || !is_digit(at[7]) || at[8] != ' ' || !is_digit(at[9]) ||
        !is_digit(at[10]) || !is_digit(at[11]) || (line.len > 12 && at[12] != ' '))
        return ANSWER_MALFORMED;
    a->status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + at[11] - '0';
    a->keep_alive = at[7] != '0';
    a->chunked = false;
    a->length = -1;
    return a->status >= 100 && a->status != 101 ? ANSWER_FIELDS : ANSWER_MALFORMED;
}

/* False where it is none. Two that say the same are one (RFC 9110 8.6). */
static bool read_length(struct answer *a, struct slice value)
{
    int64_t length = 0;
    if (value.len == 0 || value.len > 15)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.at[i]))
            return false;
        length = length * 10 + value.at[i] - '0';
    }
    bool same = a->length < 0 || a->length == length;
    a->length = length;
    return same;
}

/* Connection is a list: `close` may stand among others. */
static void read_connection(struct answer *a, struct slice value)
{
    while (value.len > 0) {
        const char *comma = memchr(value.at, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.at) : value.len;
        struct slice word = slice_trimmed(slice_of(value.at, len));
        if (slice_same(word, SLICE("close")))
            a->keep_alive = false;
        value = comma ? slice_of(comma + 1, value.len - len - 1) : slice_of(value.at, 0);
    }
}

static bool is_token(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] <= ' ' || (unsigned char)name.at[i] >= 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", name.at[i]) != NULL)
            return false;
    return name.len > 0;
}

static bool read_field(struct answer *a, struct slice line)
{
    const char *colon = memchr(line.at, ':', line.len);
    struct slice name = slice_of(line.at, colon ? (size_t)(colon - line.at) : 0);
    if (!is_token(name))
        return false;
    struct slice value = slice_trimmed(slice_of(colon + 1, line.len - name.len - 1));
    if (slice_same(name, SLICE("Content-Length")))
        return read_length(a, value);
    if (slice_same(name, SLICE("Connection")))
        read_connection(a, value);
    if (!slice_same(name, SLICE("Transfer-Encoding")))
        return true;
    bool first = !a->chunked;
    a->chunked = true;
    return first && slice_same(value, SLICE("chunked"));
}

/* What comes behind the head (RFC 9112 6.3). */
static enum answer_state begin_body(struct answer *a)
{
    if (a->status < 200)
        return ANSWER_STATUS_LINE;
    if (a->chunked && a->length >= 0)
        return ANSWER_MALFORMED;
    if (a->head_only || a->status == 204 || a->status == 304 || a->length == 0)
        return ANSWER_WHOLE;
    if (a->chunked)
        return ANSWER_CHUNK_SIZE;
    a->left = a->length;
    a->keep_alive = a->keep_alive && a->length > 0;
    return a->length > 0 ? ANSWER_LENGTH : ANSWER_TO_THE_END;
}

/* ---- chunks ---- */

static enum answer_state read_chunk_size(struct answer *a, struct slice line)
{
    size_t digits = 0;
    a->left = 0;
    for (; digits < line.len && digits_hex_value(line.at[digits]) >= 0; digits++) {
        a->left = a->left * 16 + digits_hex_value(line.at[digits]);
        if (a->left > CHUNK_MAX)
            return ANSWER_MALFORMED;
    }
    struct slice rest = slice_trimmed(slice_of(line.at + digits, line.len - digits));
    if (digits == 0 || (rest.len > 0 && rest.at[0] != ';'))
        return ANSWER_MALFORMED;
    a->lines = 0;
    return a->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILERS;
}

/* ---- lines ---- */

static enum answer_state end_line(struct answer *a, struct slice line)
{
    if (++a->lines > ANSWER_LINES_MAX)
        return ANSWER_MALFORMED;
    switch (a->state) {
    case ANSWER_STATUS_LINE:
        return read_status_line(a, line);
    case ANSWER_FIELDS:
        if (line.len == 0)
            return begin_body(a);
        return read_field(a, line) ? ANSWER_FIELDS : ANSWER_MALFORMED;
    case ANSWER_CHUNK_SIZE:
        return read_chunk_size(a, line);
    case ANSWER_CHUNK_END:
        return line.len == 0 ? ANSWER_CHUNK_SIZE : ANSWER_MALFORMED;
    case ANSWER_TRAILERS:
        return line.len == 0 ? ANSWER_WHOLE : ANSWER_TRAILERS;
    case ANSWER_LENGTH:
    case ANSWER_CHUNK:
    case ANSWER_TO_THE_END:
    case ANSWER_WHOLE:
    case ANSWER_MALFORMED:
        break;
    }
    CHECK(false);
    return ANSWER_MALFORMED;
}

/* A line ends with CRLF, nothing else. */
static size_t read_line(struct answer *a, const char *bytes, size_t len)
{
    const char *newline = memchr(bytes, '\n', len);
    size_t part = newline ? (size_t)(newline - bytes) + 1 : len;
    if (a->line_len + part > sizeof a->line) {
        a->state = ANSWER_MALFORMED;
        return 0;
    }
    const char *line = bytes;
    size_t line_len = part;
    if (a->line_len > 0 || newline == NULL) {
        memcpy(a->line + a->line_len, bytes, part);
        a->line_len += (uint32_t)part;
        line = a->line;
        line_len = a->line_len;
    }
    if (newline == NULL)
        return part;
    a->line_len = 0;
    bool ended = line_len >= 2 && line[line_len - 2] == '\r';
    a->state = ended ? end_line(a, slice_of(line, line_len - 2)) : ANSWER_MALFORMED;
    return part;
}

/* ---- bytes ---- */

static size_t skip_body(struct answer *a, size_t len)
{
    size_t part = (size_t)MIN(a->left, (int64_t)len);
    a->left -= (int64_t)part;
    if (a->left == 0)
        a->state = a->state == ANSWER_LENGTH ? ANSWER_WHOLE : ANSWER_CHUNK_END;
    return part;
}

size_t answer_read(struct answer *a, const char *bytes, size_t len)
{
    size_t at = 0;
    a->begun = a->begun || len > 0;
    while (at < len && a->state < ANSWER_WHOLE) {
        if (a->state == ANSWER_TO_THE_END)
            return len;
        bool body = a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK;
        at += body ? skip_body(a, len - at) : read_line(a, bytes + at, len - at);
    }
    return at;
}

bool answer_end(struct answer *a)
{
    if (a->state == ANSWER_TO_THE_END)
        a->state = ANSWER_WHOLE;
    return a->state == ANSWER_WHOLE;
}
