#include "common/digits.h"

const char *digits_of(uint64_t number, char text[DIGITS_BYTES])
{
    char *at = text + DIGITS_BYTES - 1;
    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return at;
}

const char *digits_hex(uint64_t number, char text[HEX16_BYTES])
{
    for (int i = HEX16_BYTES - 2; i >= 0; i--, number >>= 4)
        text[i] = "0123456789abcdef"[number & 15];
    text[HEX16_BYTES - 1] = '\0';
    return text;
}
