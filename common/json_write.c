#include "common/json_write.h"

/* 0: as it is; 'u': \u00XX; else the letter behind the backslash (RFC 8259 section 7). */
static const char escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u', 'u', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 0,   0,   '"', 0,   0,   ['\\'] = '\\',
};

void json_write_string(struct buf *out, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    buf_reserve(out, s.len + 2);
    buf_addc(out, '"');
    size_t plain = 0;
    for (size_t i = 0; i < s.len; i++) {
        char esc = escapes[(unsigned char)s.at[i]];
        if (__builtin_expect(esc == 0, 1))
            continue;
        buf_add(out, s.at + plain, i - plain);
        plain = i + 1;
        buf_addc(out, '\\');
        buf_addc(out, esc);
        if (esc == 'u') {
            buf_add(out, "00", 2);
            buf_addc(out, hex[(unsigned char)s.at[i] >> 4]);
            buf_addc(out, hex[s.at[i] & 15]);
        }
    }
    buf_add(out, s.at + plain, s.len - plain);
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
