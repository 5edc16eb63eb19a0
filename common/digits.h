/* Numbers as text, where printf() would take longer than all else. */
#ifndef COMMON_DIGITS_H
#define COMMON_DIGITS_H

#include "common/slice.h"

enum { DIGITS_BYTES = 21, HEX16_BYTES = 17 };

/* Each is followed by a NUL that is not counted. */
struct slice digits_of(uint64_t number, char text[DIGITS_BYTES]); /* decimal, somewhere in text */
struct slice digits_hex(uint64_t number, char text[HEX16_BYTES]); /* 16 of them, in lower case */

int digits_hex_value(char c); /* of one such digit, in whatever case; -1: it is none */

#endif
