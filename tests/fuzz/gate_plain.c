#include "tests/fuzz/gate_plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

/* ---- grammar ---- */

#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define TARGET "[]A-Za-z0-9._~:/?@!$&'()*+,;=%[-]+"
#define QUOTED "\"([]\t !#-[^-~\x80-\xff]|\\\\[\t -~\x80-\xff])*\""

/* RFC 9112 3, 5 and 7.1, RFC 9110 4.2 and 5.6.4, RFC 3986 3.2.2. ABSOLUTE is only told apart. */
static const char *const grammars[GRAMMARS] = {
    [REQUEST_LINE] = "^" TOKEN " " TARGET " HTTP/1\\.[01]$",
    [OTHER_VERSION] = "^" TOKEN " " TARGET " HTTP/([02-9]\\.[0-9]+|1\\.([2-9]|[0-9][0-9]+))$",
    [FIELD] = "^" TOKEN ":[\t -~\x80-\xff]*$",
    [ABSOLUTE] = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?:]",
    [NAME_AND_PORT] = "^([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f][0-9A-Fa-f])*(:[0-9]*)?$",
    [PORT] = "^(:[0-9]*)?$",
    [DIGITS] = "^[0-9]+$",
    [SIZE_LINE] = "^[0-9A-Fa-f]{1,15}([\t ]*;[\t ]*" TOKEN "([\t ]*=[\t ]*(" TOKEN "|" QUOTED "))?)*$",
};
static regex_t compiled[GRAMMARS];

/* The sanitizer's regexec() wants a NUL behind it. */
bool plain_is(enum grammar grammar, struct slice text)
{
    static char copy[INPUT_MAX + 1];
    regmatch_t range = {0, (regoff_t)text.len};
    CHECK(text.len <= INPUT_MAX);
    *(char *)mempcpy(copy, text.at, text.len) = '\0';
    return regexec(&compiled[grammar], copy, 0, &range, REG_STARTEND) == 0;
}

bool plain_is_word(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

struct slice plain_skip(struct slice s, size_t bytes)
{
    return slice_of(s.at + bytes, s.len - bytes);
}

/* Up to the separator, which is left out; without one all of it. */
struct slice plain_cut(struct slice *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    struct slice part = slice_of(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->len);
    *rest = plain_skip(*rest, part.len + (end != NULL));
    return part;
}

bool plain_cut_line(struct slice *rest, struct slice *line)
{
    const char *end = rest->len > 0 ? memmem(rest->at, rest->len, "\r\n", 2) : NULL;
    if (end == NULL)
        return false;
    *line = slice_of(rest->at, (size_t)(end - rest->at));
    *rest = plain_skip(*rest, line->len + 2);
    return true;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = plain_skip(s, 1);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* ---- the plain reader ---- */

static bool is_authority(struct slice s)
{
    char address[64] = "";
    struct in6_addr v6;
    if (s.len == 0 || s.at[0] != '[')
        return plain_is(NAME_AND_PORT, s);
    struct slice inside = plain_cut(&s, ']');
    if (inside.len > sizeof address || !plain_is(PORT, s) || s.at[-1] != ']')
        return false;
    memcpy(address, inside.at + 1, inside.len - 1);
    return strlen(address) == inside.len - 1 && inet_pton(AF_INET6, address, &v6) == 1;
}

static bool read_target(struct plain *p)
{
    p->target = p->given;
    if (slice_is(p->given, "*"))
        return slice_is(p->method, "OPTIONS");
    if (p->given.at[0] == '/')
        return true;
    if (!plain_is(ABSOLUTE, p->given))
        return false;
    struct slice authority = plain_skip(p->given, strlen("http://"));
    authority = plain_skip(authority, authority.at[-1] != '/' || authority.at[-2] != '/');
    p->target = authority;
    while (p->target.len > 0 && p->target.at[0] != '/' && p->target.at[0] != '?')
        p->target = plain_skip(p->target, 1);
    authority.len -= p->target.len;
    return is_authority(authority);
}

/* RFC 9110 8.6, below 2^63. A line's end follows the digits. */
static bool read_length(struct slice text, uint64_t *length)
{
    errno = 0;
    *length = plain_is(DIGITS, text) ? strtoull(text.at, NULL, 10) : UINT64_MAX;
    return errno == 0 && *length <= INT64_MAX;
}

static void read_options(struct plain *p, struct slice list)
{
    while (list.len > 0) {
        struct slice option = trim(plain_cut(&list, ','));
        p->close |= plain_is_word(option, "close");
        p->keep |= plain_is_word(option, "keep-alive");
    }
}

static void read_meaning(struct plain *p, struct slice name, struct slice value)
{
    if (plain_is_word(name, "Host")) {
        p->hosts++;
        p->host = value;
        p->good_host = is_authority(value);
    } else if (plain_is_word(name, "Content-Length")) {
        p->lengths++;
        p->good_length = read_length(value, &p->length);
    } else if (plain_is_word(name, "Transfer-Encoding")) {
        p->codings++;
        p->good_coding = plain_is_word(value, "chunked");
    } else if (plain_is_word(name, "Expect")) {
        p->expects++;
        p->expects_other |= !plain_is_word(value, "100-continue");
    } else if (plain_is_word(name, "Connection")) {
        read_options(p, value);
    }
}

static bool is_consistent(const struct plain *p)
{
    bool body = p->codings > 0 || p->length > 0;
    return (p->hosts == 1 ? p->good_host : p->hosts == 0 && p->minor == 0) && p->lengths + p->codings <= 1 &&
           (p->lengths == 0 || p->good_length) && (p->codings == 0 || (p->good_coding && p->minor == 1)) &&
           !(p->expects_other && p->minor == 1) && !(body && slice_is(p->method, "HEAD"));
}

static bool read_field(struct slice line, struct http_field *out)
{
    if (!plain_is(FIELD, line))
        return false;
    out->name = plain_cut(&line, ':');
    out->value = trim(line);
    return true;
}

static enum http_read read_fields(struct slice *rest, struct http_field *fields, int *count)
{
    struct slice line;
    while (plain_cut_line(rest, &line)) {
        if (line.len == 0)
            return HTTP_READ_WHOLE;
        if (*count == HTTP_FIELDS_MAX || !read_field(line, &fields[*count]))
            return HTTP_READ_BAD;
        ++*count;
    }
    return HTTP_READ_MORE;
}

/* MORE: no line that is whole is wrong. */
static enum http_read read_lines(struct slice *rest, struct plain *p)
{
    struct slice line;
    if (!plain_cut_line(rest, &line))
        return HTTP_READ_MORE;
    if (!plain_is(REQUEST_LINE, line))
        return HTTP_READ_BAD;
    p->method = plain_cut(&line, ' ');
    p->given = plain_cut(&line, ' ');
    p->minor = line.at[line.len - 1] - '0';
    if (p->given.len > URI_MAX || !read_target(p))
        return HTTP_READ_BAD;
    return read_fields(rest, p->fields, &p->field_count);
}

enum http_read plain_read_head(struct slice bytes, struct plain *p)
{
    struct slice rest = bytes;
    enum http_read read = read_lines(&rest, p);
    p->bytes = bytes.len - rest.len;
    if (read == HTTP_READ_BAD || (read == HTTP_READ_WHOLE ? p->bytes : bytes.len) > HEAD_MAX)
        return HTTP_READ_BAD;
    for (int i = 0; i < p->field_count; i++)
        read_meaning(p, p->fields[i].name, p->fields[i].value);
    return read == HTTP_READ_MORE || is_consistent(p) ? read : HTTP_READ_BAD;
}

/* *extended: one with its size has an extension. */
static enum http_read read_chunk(struct slice *rest, struct buf *body, size_t *size, bool *extended)
{
    struct slice line, data;
    if (!plain_cut_line(rest, &line))
        return rest->len > CHUNK_LINE_MAX ? HTTP_READ_BAD : HTTP_READ_MORE;
    if (line.len >= CHUNK_LINE_MAX || !plain_is(SIZE_LINE, line))
        return HTTP_READ_BAD;
    *size = strtoull(line.at, NULL, 16); /* it cannot begin with 0x: the grammar has no x */
    *extended |= memchr(line.at, ';', line.len) != NULL;
    if (*size == 0)
        return HTTP_READ_WHOLE;
    if (*size > BODY_MAX - body->len)
        return HTTP_READ_BAD;
    data = slice_of(rest->at, MIN(*size, rest->len));
    buf_add(body, data.at, data.len);
    *rest = plain_skip(*rest, data.len);
    if (memcmp(rest->at, "\r\n", MIN(rest->len, (size_t)2)) != 0)
        return HTTP_READ_BAD;
    return plain_cut_line(rest, &line) ? HTTP_READ_WHOLE : HTTP_READ_MORE;
}

/* MORE: of the lines and the data so far nothing is wrong; *rest is what of a line has come. */
enum http_read plain_read_chunks(struct slice *rest, struct buf *body, bool *extended)
{
    static struct http_field trailers[HTTP_FIELDS_MAX];
    size_t size = 1;
    int count = 0;
    enum http_read read = HTTP_READ_WHOLE;
    while (read == HTTP_READ_WHOLE && size > 0)
        read = read_chunk(rest, body, &size, extended);
    if (read != HTTP_READ_WHOLE)
        return read;
    struct slice from = *rest;
    read = read_fields(rest, trailers, &count);
    return (read == HTTP_READ_WHOLE ? from.len - rest->len : from.len) > HEAD_MAX ? HTTP_READ_BAD : read;
}

void plain_setup(void)
{
    for (int i = 0; i < GRAMMARS; i++)
        CHECK(regcomp(&compiled[i], grammars[i], REG_EXTENDED | REG_NOSUB) == 0);
}
