#include "common/base64.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char digits[][65] = {[BASE64_PADDED] = LETTERS "+/", [BASE64_URL] = LETTERS "-_"};

void base64_encode(struct buf *out, struct slice bytes, enum base64_form form)
{
    uint32_t bits = 0;
    int held = 0;
    size_t count = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | (unsigned char)bytes.at[i];
        for (held += 8; held >= 6; count++)
            buf_addc(out, digits[form][bits >> (held -= 6) & 63]);
    }
    if (held > 0) {
        buf_addc(out, digits[form][bits << (6 - held) & 63]);
        count++;
    }
    for (; form == BASE64_PADDED && count % 4 != 0; count++)
        buf_addc(out, '=');
}

static int digit(char c, enum base64_form form)
{
    const char *at = c != '\0' ? strchr(digits[form], c) : NULL;
    return at ? (int)(at - digits[form]) : -1;
}

/* Without its padding. False: it is padded wrongly. */
static bool strip(struct slice *text)
{
    bool ok = text->len % 4 == 0;
    for (int pads = 0; pads < 2 && text->len > 0 && text->at[text->len - 1] == '='; pads++)
        text->len--;
    return ok;
}

bool base64_decode(struct buf *out, struct slice text, enum base64_form form)
{
    uint32_t bits = 0;
    int held = 0;
    if (form == BASE64_PADDED && !strip(&text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit(text.at[i], form);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8)
            buf_addc(out, (char)(bits >> (held -= 8)));
    }
    return form == BASE64_PADDED || (held < 6 && (bits & ((1u << held) - 1)) == 0);
}
