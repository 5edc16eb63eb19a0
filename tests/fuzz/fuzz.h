/* What the fuzz targets share. A target is one fuzz_NAME.c: it feeds the input to a parser of perfd's and CHECK()s what
 * the parser's header promises, so that a broken promise ends the run just as a bad memory access does. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "common/slice.h"

/* What libFuzzer calls. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional; called once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

static inline bool starts_with(struct slice s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && memcmp(s.at, prefix, len) == 0;
}

/* Decodes each character, where common/utf8.c goes by the table of RFC 3629: one mistake in both is unlikely. */
static inline bool is_utf8(struct slice s)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* with so many bytes behind the first */
    for (size_t i = 0; i < s.len;) {
        uint8_t first = (uint8_t)s.at[i++];
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
        uint32_t code = more > 0 ? first & (0x3fu >> more) : first;
        if ((more == 0 && first >= 0x80) || first >= 0xf8 || more > s.len - i)
            return false;
        for (size_t end = i + more; i < end; i++) {
            if ((s.at[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (s.at[i] & 0x3f);
        }
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}

#endif
