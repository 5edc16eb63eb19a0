#include "common/json_write.h"

/* 0: as it is; 'u': \u00XX; else the letter behind the backslash (RFC 8259 section 7). */
static const char escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u', 'u', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 0,   0,   '"', 0,   0,   ['\\'] = '\\',
};

/* Most text needs no escape, so it is looked at sixteen bytes at a time. */
typedef unsigned char block __attribute__((vector_size(16)));

static bool block_is_plain(const char *at)
{
    block bytes;
    uint64_t halves[2];
    memcpy(&bytes, at, sizeof bytes);
    block special = (block)(bytes < 0x20) | (block)(bytes == '"') | (block)(bytes == '\\');
    memcpy(halves, &special, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

enum { ESCAPE_BYTES = 6 };

static char *put_escape(char *at, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    *at++ = escapes[byte];
    if (escapes[byte] != 'u')
        return at;
    at = mempcpy(at, "00", 2);
    *at++ = hex[byte >> 4];
    *at++ = hex[byte & 15];
    return at;
}

/* Text that has escapes often has many, a JSON text within a string one in eight bytes: each by itself would cost three
 * times as much. */
static void write_bytes(struct buf *out, const char *from, size_t len)
{
    buf_reserve(out, ESCAPE_BYTES * len);
    char *at = out->at + out->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)from[i];
        if (escapes[byte] == 0)
            *at++ = (char)byte;
        else
            at = put_escape(at, byte);
    }
    out->len = (size_t)(at - out->at);
}

void json_write_string(struct buf *out, struct slice s)
{
    size_t plain = 0, i = 0;
    buf_reserve(out, s.len + 2);
    buf_addc(out, '"');
    for (; s.len - i >= sizeof(block); i += sizeof(block)) {
        if (block_is_plain(s.at + i))
            continue;
        buf_add(out, s.at + plain, i - plain);
        write_bytes(out, s.at + i, sizeof(block));
        plain = i + sizeof(block);
    }
    while (i < s.len && escapes[(unsigned char)s.at[i]] == 0)
        i++;
    buf_add(out, s.at + plain, i - plain);
    write_bytes(out, s.at + i, s.len - i);
    buf_addc(out, '"');
}

void json_write_int(struct buf *out, int64_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + u % 10);
    while ((u /= 10) > 0);
    if (n < 0)
        digits[--at] = '-';
    buf_add(out, digits + at, sizeof digits - at);
}

void json_write_key(struct buf *out, const char *name)
{
    char last = out->len > 0 ? out->at[out->len - 1] : '{';
    if (last != '{' && last != '[')
        buf_addc(out, ',');
    json_write_string(out, slice_str(name));
    buf_addc(out, ':');
}
