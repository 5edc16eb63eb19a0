#include "common/json_scan.h"

/* Length of the sequence at s (RFC 3629, section 4: the table of well-formed bytes), 0 when it is none. */
static size_t sequence(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t len = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    if (s[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (s[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (len == 0 || len > left || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

ptrdiff_t utf8_check(struct slice s)
{
    for (size_t i = 0, len; i < s.len; i += len)
        if ((len = sequence((const unsigned char *)s.at + i, s.len - i)) == 0)
            return (ptrdiff_t)i;
    return -1;
}
