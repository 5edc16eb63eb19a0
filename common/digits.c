#include "common/digits.h"

#include <endian.h>

struct slice digits_of(uint64_t number, char text[DIGITS_BYTES])
{
    char *end = text + DIGITS_BYTES - 1, *at = end;
    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return slice_of(at, (size_t)(end - at));
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight digits at once: a half byte into each byte, the highest first, then '0' or 'a' - 10 is added. */
static uint64_t eight_digits(uint64_t half)
{
    half = (half << 16 | half) & UINT64_C(0x0000ffff0000ffff);
    half = (half << 8 | half) & UINT64_C(0x00ff00ff00ff00ff);
    half = (half << 4 | half) & EACH(0x0f);
    uint64_t letters = (half + EACH(6)) >> 4 & EACH(1);
    return htobe64(half + EACH('0') + letters * ('a' - '0' - 10));
}

struct slice digits_hex(uint64_t number, char text[HEX16_BYTES])
{
    uint64_t digits[] = {eight_digits(number >> 32), eight_digits(number & UINT32_MAX)};
    memcpy(text, digits, sizeof digits);
    text[sizeof digits] = '\0';
    return slice_of(text, sizeof digits);
}

int digits_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
