#include "worker/http_head.h"

#include <arpa/inet.h>
#include <endian.h>
#include <strings.h>

const char *const http_method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"};

/* ---- bytes by what they may stand in ---- */

enum { TOKEN = 1, URI = 2, HOST = 4 };

/* RFC 9110 5.6.2 (token), RFC 3986 2 (URI; the brackets are taken in queries, where programs write them), 3.2.2 (a name
 * or v4 address of a host, its percents apart). */
static const uint8_t classes[256] = {
    ['A' ... 'Z'] = TOKEN | URI | HOST,
    ['a' ... 'z'] = TOKEN | URI | HOST,
    ['0' ... '9'] = TOKEN | URI | HOST,
    ['!'] = TOKEN | URI | HOST,
    ['$'] = TOKEN | URI | HOST,
    ['%'] = TOKEN | URI,
    ['&'] = TOKEN | URI | HOST,
    ['\''] = TOKEN | URI | HOST,
    ['*'] = TOKEN | URI | HOST,
    ['+'] = TOKEN | URI | HOST,
    ['-'] = TOKEN | URI | HOST,
    ['.'] = TOKEN | URI | HOST,
    ['_'] = TOKEN | URI | HOST,
    ['~'] = TOKEN | URI | HOST,
    ['#'] = TOKEN,
    ['^'] = TOKEN,
    ['`'] = TOKEN,
    ['|'] = TOKEN,
    ['('] = URI | HOST,
    [')'] = URI | HOST,
    [','] = URI | HOST,
    [';'] = URI | HOST,
    ['='] = URI | HOST,
    ['/'] = URI,
    [':'] = URI,
    ['?'] = URI,
    ['@'] = URI,
    ['['] = URI,
    [']'] = URI,
};

static bool is_class(char c, int class)
{
    return classes[(unsigned char)c] & class;
}

/* Four at a time as long as there are. */
static const char *skip_class(const char *at, const char *end, int class)
{
    const unsigned char *b = (const unsigned char *)at;
    for (; end - (const char *)b >= 4; b += 4)
        if (!(classes[b[0]] & classes[b[1]] & classes[b[2]] & classes[b[3]] & class))
            break;
    at = (const char *)b;
    while (at < end && is_class(*at, class))
        at++;
    return at;
}

/* Whatever the case of its letters. name: of letters, digits and hyphens, which differ from nothing else that may stand
 * in a field by the bit of case alone. */
static bool is_name(struct slice s, const char *name, size_t len)
{
    if (s.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((s.at[i] | 0x20) != (name[i] | 0x20))
            return false;
    return true;
}

#define is_word(s, word) is_name(s, word, sizeof(word) - 1)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum http_read bad(struct http_refusal *why, int status, const char *code, const char *detail)
{
    *why = (struct http_refusal){status, code, detail};
    return HTTP_READ_BAD;
}

static enum http_read malformed(struct http_refusal *why, const char *detail)
{
    return bad(why, 400, "bad_request", detail);
}

/* ---- request line ---- */

static enum http_method method_of(struct slice name)
{
    for (int m = HTTP_GET; m < HTTP_OTHER; m++)
        if (slice_is(name, http_method_names[m]))
            return (enum http_method)m;
    return HTTP_OTHER;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of `[v6]` what stands between the brackets. */
static bool is_v6(struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.len >= sizeof copy)
        return false;
    *(char *)mempcpy(copy, text.at, text.len) = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* A name or a v4 address, RFC 3986 3.2.2; NULL: a % that two hexadecimal digits do not follow. */
static const char *skip_name(const char *at, const char *end)
{
    while ((at = skip_class(at, end, HOST)) < end && *at == '%') {
        if (end - at < 3 || !is_hex(at[1]) || !is_hex(at[2]))
            return NULL;
        at += 3;
    }
    return at;
}

/* uri-host [":" port], and no user before it. */
static bool is_authority(struct slice text)
{
    const char *at = text.at, *end = at + text.len;
    if (text.len > 0 && *at == '[') {
        const char *close = memchr(at, ']', text.len);
        if (close == NULL || !is_v6(slice_of(at + 1, (size_t)(close - at - 1))))
            return false;
        at = close + 1;
    } else {
        at = skip_name(at, end);
        if (at == NULL)
            return false;
    }
    if (at < end && *at++ != ':')
        return false;
    while (at < end && is_digit(*at))
        at++;
    return at == end;
}

/* RFC 9112 3.2: "/path?query", "scheme://authority/path?query", or "*" for OPTIONS alone. */
static bool read_target(struct slice target, struct http_head *out)
{
    static const char *const schemes[] = {"http://", "https://"};
    out->target = target;
    if (target.at[0] == '/' || (slice_is(target, "*") && out->method == HTTP_OPTIONS))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t skip = strlen(schemes[i]);
        if (target.len <= skip || strncasecmp(target.at, schemes[i], skip) != 0)
            continue;
        const char *authority = target.at + skip, *end = target.at + target.len, *path = authority;
        while (path < end && *path != '/' && *path != '?')
            path++;
        out->target = slice_of(path, (size_t)(end - path));
        /* RFC 9110 4.2.1: its host is not empty, as that of a Host field may be. */
        return path > authority && *authority != ':' && is_authority(slice_of(authority, (size_t)(path - authority)));
    }
    return false;
}

/* Its end is not waited for any longer. */
enum { VERSION_LINE_MAX = 64 };

/* "HTTP/1.1" and the line's end. */
static enum http_read read_version(const char **at, const char *end, struct http_head *out, struct http_refusal *why)
{
    static const char name[] = "HTTP/", usual[] = "HTTP/1.1\r\n";
    enum { NAME = sizeof name - 1, USUAL = sizeof usual - 1 };
    const char *start = *at;
    if (end - start >= USUAL && memcmp(start, usual, USUAL) == 0) {
        out->minor = 1;
        *at = start + USUAL;
        return HTTP_READ_WHOLE;
    }
    size_t have = MIN((size_t)(end - start), (size_t)NAME);
    if (memcmp(start, name, have) != 0)
        return malformed(why, "the request line does not end with HTTP/1.1");
    const char *line_end = memchr(start, '\n', (size_t)(end - start));
    if (line_end == NULL)
        return end - start > VERSION_LINE_MAX ? malformed(why, "the request line does not end with HTTP/1.1")
                                              : HTTP_READ_MORE;
    if (line_end - start > VERSION_LINE_MAX)
        return malformed(why, "the request line does not end with HTTP/1.1");
    if (line_end == start || line_end[-1] != '\r')
        return malformed(why, "a line ends without a carriage return");
    struct slice version = slice_of(start + NAME, (size_t)(line_end - 1 - start - NAME));
    bool well_formed = line_end - 1 - start > NAME + 2 && is_digit(version.at[0]) && version.at[1] == '.';
    for (size_t i = 2; well_formed && i < version.len; i++)
        well_formed = is_digit(version.at[i]);
    if (!well_formed)
        return malformed(why, "the request line does not end with HTTP/1.1");
    if (!slice_is(version, "1.1") && !slice_is(version, "1.0"))
        return bad(why, 505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here");
    out->minor = version.at[2] - '0';
    *at = line_end + 1;
    return HTTP_READ_WHOLE;
}

static enum http_read read_line(const char **at, const char *end, int64_t uri_max, struct http_head *out,
                                struct http_refusal *why)
{
    const char *method = *at, *target = skip_class(method, end, TOKEN);
    if (target == end)
        return HTTP_READ_MORE;
    if (*target != ' ' || target == method)
        return malformed(why, "the request does not begin with a method and a space");
    out->method = method_of(slice_of(method, (size_t)(target - method)));
    const char *version = skip_class(++target, end, URI);
    if (version - target > uri_max)
        return bad(why, 414, "uri_too_long", "the request's target is longer than max_uri");
    if (version == end)
        return HTTP_READ_MORE;
    if (*version != ' ')
        return malformed(why, "the target has a byte that must be percent-encoded");
    if (version == target || !read_target(slice_of(target, (size_t)(version - target)), out))
        return malformed(why, "the target is not a path");
    *at = version + 1;
    return read_version(at, end, out, why);
}

/* ---- fields ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Which of eight bytes are controls, by their upper bits: exact up to the first one, as only a control borrows from the
 * byte behind it. */
static uint64_t controls(const char *at)
{
    uint64_t word, del;
    memcpy(&word, at, sizeof word);
    word = le64toh(word);
    del = word ^ EACH(0x7f);
    return (((word - EACH(0x20)) & ~word) | ((del - EACH(1)) & ~del)) & EACH(0x80);
}

/* The first control byte but TAB, which ends a value. */
static const char *value_end(const char *at, const char *end)
{
    for (;; at++) {
        uint64_t found = 0;
        while (end - at >= 8 && (found = controls(at)) == 0)
            at += 8;
        if (found != 0)
            at += __builtin_ctzll(found) / 8;
        else
            while (at < end && (unsigned char)*at >= ' ' && *at != 0x7f)
                at++;
        if (at == end || *at != '\t')
            return at;
    }
}

static enum http_read read_field(const char **at, const char *end, struct http_field *out, struct http_refusal *why)
{
    const char *name = *at, *colon = skip_class(name, end, TOKEN);
    if (colon == end)
        return HTTP_READ_MORE;
    if (is_blank(*name))
        return malformed(why, "a header field is continued on a second line");
    if (*colon != ':' || colon == name)
        return malformed(why, "a header field does not begin with a name and a colon");
    const char *value = colon + 1, *stop = value_end(value, end);
    if (end - stop < 2)
        return stop < end && *stop != '\r' ? malformed(why, "a header field has a control byte") : HTTP_READ_MORE;
    if (stop[0] != '\r' || stop[1] != '\n')
        return malformed(why,
                         *stop == '\n' ? "a line ends without a carriage return" : "a header field has a control byte");
    *at = stop + 2;
    while (value < stop && is_blank(*value))
        value++;
    while (value < stop && is_blank(stop[-1]))
        stop--;
    *out = (struct http_field){slice_of(name, (size_t)(colon - name)), slice_of(value, (size_t)(stop - value))};
    return HTTP_READ_WHOLE;
}

enum http_read http_fields_read(struct slice bytes, struct http_field *fields, int *count, size_t *used,
                                struct http_refusal *why)
{
    const char *at = bytes.at, *end = at + bytes.len;
    for (*count = 0;;) {
        if (at == end || (*at == '\r' && end - at < 2))
            return HTTP_READ_MORE;
        if (*at == '\r' && at[1] == '\n')
            break;
        if (*at == '\r' || *at == '\n')
            return malformed(why, "a line ends without a carriage return and a line feed");
        if (*count == HTTP_FIELDS_MAX)
            return bad(why, 431, "too_many_fields", "a request has at most 100 header fields");
        enum http_read read = read_field(&at, end, &fields[*count], why);
        if (read != HTTP_READ_WHOLE)
            return read;
        ++*count;
    }
    *used = (size_t)(at + 2 - bytes.at);
    return HTTP_READ_WHOLE;
}

/* ---- what the fields mean ---- */

/* The next element of a comma-separated list, trimmed; false when there is none. */
static bool next_element(struct slice *list, struct slice *element_out)
{
    if (list->at == NULL)
        return false;
    const char *comma = list->len > 0 ? memchr(list->at, ',', list->len) : NULL;
    struct slice e = slice_of(list->at, comma ? (size_t)(comma - list->at) : list->len);
    *list = comma ? slice_of(comma + 1, list->len - e.len - 1) : slice_of(NULL, 0);
    *element_out = slice_trimmed(e);
    return true;
}

/* Of fields that may stand once how often they did, and the options of Connection. */
struct meaning {
    int hosts, lengths, encodings;
    struct slice encoding;
    bool close, keep;
    bool expects_other;
};

/* RFC 9110 8.6: digits alone, below 2^63. */
static bool read_length(struct slice text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i]) || *out > INT64_MAX / 10)
            return false;
        *out = *out * 10 + (uint64_t)(text.at[i] - '0');
    }
    return text.len > 0 && *out <= INT64_MAX;
}

static void read_connection(struct slice list, struct meaning *m)
{
    struct slice option;
    while (next_element(&list, &option)) {
        m->close |= is_word(option, "close");
        m->keep |= is_word(option, "keep-alive");
    }
}

static enum http_read interpret(const struct http_field *field, struct http_head *out, struct meaning *m,
                                struct http_refusal *why)
{
    switch (field->name.len) {
    case 4:
        if (is_word(field->name, "host") && (m->hosts++ > 0 || !is_authority(field->value)))
            return malformed(why, "Host is given twice or is no name");
        break;
    case 6:
        if (is_word(field->name, "expect")) {
            out->expects_continue = is_word(field->value, "100-continue");
            m->expects_other |= !out->expects_continue;
        }
        break;
    case 10:
        if (is_word(field->name, "connection"))
            read_connection(field->value, m);
        break;
    case 14:
        if (is_word(field->name, "content-length") && (m->lengths++ > 0 || !read_length(field->value, &out->length)))
            return malformed(why, "Content-Length is given twice or is no number");
        break;
    case 17:
        if (is_word(field->name, "transfer-encoding")) {
            m->encodings++;
            m->encoding = field->value;
        }
        break;
    }
    return HTTP_READ_WHOLE;
}

/* RFC 9112 6.1: chunked is the last coding and stands once; no other is known here. */
static enum http_read read_encoding(const struct meaning *m, struct http_head *out, struct http_refusal *why)
{
    struct slice list = m->encoding, coding = {NULL, 0};
    int codings = 0, chunked = 0;
    bool last_chunked = false, empty = false;
    if (out->minor == 0 || m->lengths > 0 || m->encodings > 1)
        return malformed(why, "Transfer-Encoding is given twice, beside Content-Length, or in HTTP/1.0");
    while (next_element(&list, &coding)) {
        codings++;
        empty |= coding.len == 0;
        last_chunked = is_word(coding, "chunked");
        chunked += last_chunked;
    }
    if (empty || chunked > 1 || (chunked == 1 && !last_chunked))
        return malformed(why, "Transfer-Encoding does not end with chunked");
    if (codings > 1 || chunked == 0)
        return bad(why, 501, "not_implemented", "of the transfer codings only chunked is known here");
    out->chunked = true;
    return HTTP_READ_WHOLE;
}

static enum http_read conclude(struct http_head *out, struct http_refusal *why)
{
    struct meaning m = {0};
    for (int i = 0; i < out->field_count; i++)
        if (interpret(&out->fields[i], out, &m, why) != HTTP_READ_WHOLE)
            return HTTP_READ_BAD;
    if (m.hosts == 0 && out->minor > 0)
        return malformed(why, "a request of HTTP/1.1 has no Host");
    if (m.encodings > 0 && read_encoding(&m, out, why) != HTTP_READ_WHOLE)
        return HTTP_READ_BAD;
    if (out->method == HTTP_HEAD && (out->length > 0 || out->chunked))
        return malformed(why, "a HEAD request has a body");
    if (out->minor == 0)
        out->expects_continue = false;
    else if (m.expects_other)
        return bad(why, 417, "expectation_failed", "of the expectations only 100-continue is known here");
    out->keep_alive = !m.close && (out->minor > 0 || m.keep);
    return HTTP_READ_WHOLE;
}

enum http_read http_head_read(struct slice bytes, int64_t uri_max, int64_t head_max, struct http_head *out,
                              struct http_refusal *why)
{
    /* Nothing behind head_max is looked at, so that the verdict is the same however much has come. */
    const char *at = bytes.at, *end = at + MIN((int64_t)bytes.len, head_max);
    size_t used = 0;
    out->method = HTTP_OTHER;
    out->length = 0;
    out->chunked = out->expects_continue = false;
    enum http_read read = read_line(&at, end, uri_max, out, why);
    if (read == HTTP_READ_WHOLE)
        read = http_fields_read(slice_of(at, (size_t)(end - at)), out->fields, &out->field_count, &used, why);
    out->bytes = (size_t)(at - bytes.at) + used;
    if (read == HTTP_READ_MORE && (int64_t)bytes.len > head_max)
        return bad(why, 431, "head_too_large", "the request's head is longer than max_head");
    return read == HTTP_READ_WHOLE ? conclude(out, why) : read;
}

static int next_field(const struct http_head *head, int from, const char *name, size_t len)
{
    int i = from;
    while (i < head->field_count && !is_name(head->fields[i].name, name, len))
        i++;
    return i;
}

struct slice http_head_field(const struct http_head *head, const char *name, size_t len)
{
    int i = next_field(head, 0, name, len);
    return i < head->field_count ? head->fields[i].value : slice_of(NULL, 0);
}

struct slice http_head_list(const struct http_head *head, const char *name, size_t len, struct arena *arena)
{
    int first = next_field(head, 0, name, len), i = first;
    size_t bytes = 0;
    if (first == head->field_count || next_field(head, first + 1, name, len) == head->field_count)
        return http_head_field(head, name, len);
    for (; i < head->field_count; i = next_field(head, i + 1, name, len))
        bytes += head->fields[i].value.len + 1;
    char *text = arena_bytes(arena, bytes), *at = text;
    for (i = first; i < head->field_count; i = next_field(head, i + 1, name, len)) {
        at = mempcpy(at, head->fields[i].value.at, head->fields[i].value.len);
        *at++ = ',';
    }
    return slice_of(text, bytes - 1);
}
