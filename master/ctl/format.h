/* Figures for human eyes. Returned by value, so that `format_count(n).s` can stand in an argument list. */
#ifndef MASTER_CTL_FORMAT_H
#define MASTER_CTL_FORMAT_H

#include "shm/histogram.h"

struct text {
    char s[48];
};

struct text format_count(int64_t n);                       /* 1,234,567 */
struct text format_id(int64_t n);                          /* 1234567, of what is no amount */
struct text format_rate(double per_second);                /* 12,345 /s, 0.25 /s */
struct text format_byte_rate(double per_second);           /* 12.3 KB/s */
struct text format_us(int64_t us);                         /* 850 us, 12.3 ms, 4.56 s */
struct text format_time(int64_t wall_us);                  /* 2026-11-29T14:00:00.000Z */
struct text format_age(int64_t us);                        /* 12.3 s, 4m05s, 3h04m, 2d03h */
struct text format_bytes(int64_t bytes);                   /* 12.3 MB, of 2^20 bytes as in perfd.conf */
struct text format_percent(int64_t part, int64_t whole);   /* 93.4 %, <0.1 % of what is not nothing; - of no whole */
struct text format_value(int64_t value, const char *unit); /* by a unit of stats.def, named unless it says itself */
/* Upper edge of the bucket: "-" when empty, and with ~ in front when fewer than ten samples lie beyond the quantile. */
struct text format_quantile(const struct histogram *h, double q);

/* What would steer the terminal becomes '?', in place: names and values come from others. Left are those of `kept`. */
void format_printable(char *text, const char *kept);
int format_width(const char *text); /* columns that it takes, if each character of UTF-8 takes one */

#endif
