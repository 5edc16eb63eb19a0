/* Numbers as admins write them: durations (250ms 3s 5m 1h 1d), sizes (8 64KB 256MB 2GB, steps of 1024), integers and
 * plain decimals. Whole numbers only; spelling is exact, so `3S` or `1.5h` are refused rather than guessed at.
 * Parsers return NULL on success, else what is wrong, as it reads behind the quoted word: `"5" needs a unit: ...`. */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include "common/base.h"

enum { UNIT_TEXT_BYTES = 32 };

const char *unit_parse_duration(const char *text, int64_t *us_out) MUST_USE; /* only 0 may stand without a unit */
const char *unit_parse_size(const char *text, int64_t *bytes_out) MUST_USE;  /* a plain number is bytes */
const char *unit_parse_int(const char *text, int64_t *value_out) MUST_USE;   /* digits, perhaps behind a minus */
const char *unit_parse_number(const char *text, double *value_out) MUST_USE; /* JSON's grammar; finite */

/* The shortest text that the parser above reads as the same value, in buf, which is returned. us is whole
 * milliseconds. */
const char *unit_print_duration(int64_t us, char buf[static UNIT_TEXT_BYTES]);
const char *unit_print_size(int64_t bytes, char buf[static UNIT_TEXT_BYTES]);
const char *unit_print_number(double value, char buf[static UNIT_TEXT_BYTES]);

#endif
