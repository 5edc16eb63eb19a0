/* Numbers as text, where printf() would take longer than all else. */
#ifndef COMMON_DIGITS_H
#define COMMON_DIGITS_H

#include "common/base.h"

enum { DIGITS_BYTES = 21, HEX16_BYTES = 17 };

const char *digits_of(uint64_t number, char text[DIGITS_BYTES]); /* decimal, NUL-terminated, somewhere in text */
const char *digits_hex(uint64_t number, char text[HEX16_BYTES]); /* 16 of them, in lower case */

#endif
