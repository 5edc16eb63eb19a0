/* Regular expressions of params: extended, as regex(7) has them, with memory waited for as xmalloc() does. */
#ifndef COMMON_PATTERN_H
#define COMMON_PATTERN_H

#include "common/base.h"

#include <regex.h>

/* 0, or what regerror() explains. */
int pattern_compile(regex_t *regex, const char *pattern) MUST_USE;
bool pattern_matches(const regex_t *regex, const char *text) MUST_USE;

#endif
