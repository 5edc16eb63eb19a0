#include "master/ctl/format.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLES_BEYOND = 10 };

struct text format_count(int64_t n)
{
    struct text plain, out = {""};
    int len = snprintf(plain.s, sizeof plain.s, "%" PRId64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > (n < 0) && (len - i) % 3 == 0)
            out.s[at++] = ',';
        out.s[at++] = plain.s[i];
    }
    return out;
}

struct text format_id(int64_t n)
{
    struct text out;
    snprintf(out.s, sizeof out.s, "%" PRId64, n);
    return out;
}

/* Three significant digits, or four decimals. */
static struct text scaled(double value, const char *unit)
{
    struct text out;
    int decimals = value < 0.00995 && value > 0  ? 4
                   : value < 0.0995 && value > 0 ? 3
                   : value < 9.995               ? 2
                   : value < 99.95               ? 1
                                                 : 0;
    snprintf(out.s, sizeof out.s, "%.*f %s", decimals, value, unit);
    return out;
}

struct text format_rate(double per_second)
{
    if (per_second > 0 && per_second < 99.95)
        return scaled(per_second, "/s");
    struct text out;
    snprintf(out.s, sizeof out.s, "%.40s /s", format_count((int64_t)(per_second + 0.5)).s);
    return out;
}

struct text format_us(int64_t us)
{
    struct text out;
    if (us >= US_PER_S)
        return scaled((double)us / (double)US_PER_S, "s");
    if (us >= US_PER_MS)
        return scaled((double)us / (double)US_PER_MS, "ms");
    snprintf(out.s, sizeof out.s, "%" PRId64 " us", us);
    return out;
}

struct text format_time(int64_t wall_us)
{
    struct text out;
    char stamp[CLOCK_STAMP_BYTES];
    clock_stamp(wall_us, stamp);
    snprintf(out.s, sizeof out.s, "%s.%03dZ", stamp, (int)(wall_us % US_PER_S / US_PER_MS));
    return out;
}

struct text format_age(int64_t us)
{
    struct text out;
    int64_t s = us / US_PER_S;
    if (s < 60)
        snprintf(out.s, sizeof out.s, "%.1f s", (double)MAX(us, INT64_C(0)) / (double)US_PER_S);
    else if (s < 3600)
        snprintf(out.s, sizeof out.s, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out.s, sizeof out.s, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(out.s, sizeof out.s, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
    return out;
}

struct text format_bytes(int64_t bytes)
{
    struct text out;
    double n = (double)bytes;
    if (bytes >= INT64_C(1) << 30)
        return scaled(n / (1 << 30), "GB");
    if (bytes >= 1 << 20)
        return scaled(n / (1 << 20), "MB");
    if (bytes >= 1 << 10)
        return scaled(n / (1 << 10), "KB");
    snprintf(out.s, sizeof out.s, "%" PRId64 " B", bytes);
    return out;
}

struct text format_byte_rate(double per_second)
{
    struct text out;
    snprintf(out.s, sizeof out.s, "%.40s/s", format_bytes((int64_t)(per_second + 0.5)).s);
    return out;
}

struct text format_percent(int64_t part, int64_t whole)
{
    struct text out = {"-"};
    double percent = whole > 0 ? 100 * (double)part / (double)whole : 0;
    if (percent > 0 && percent < 0.05)
        snprintf(out.s, sizeof out.s, "<0.1 %%");
    else if (whole > 0)
        snprintf(out.s, sizeof out.s, "%.1f %%", percent);
    return out;
}

struct text format_value(int64_t value, const char *unit)
{
    if (strcmp(unit, "us") == 0)
        return format_us(value);
    if (strcmp(unit, "bytes") == 0)
        return format_bytes(value);
    struct text out;
    snprintf(out.s, sizeof out.s, "%.26s%s%.20s", format_count(value).s, *unit ? " " : "", unit);
    return out;
}

struct text format_quantile(const struct histogram *h, double q)
{
    struct text out = {"-"};
    int64_t us = histogram_quantile_us(h, q);
    if (us < 0)
        return out;
    bool few = (double)histogram_count(h) * (1 - q) < SAMPLES_BEYOND && q < 1;
    snprintf(out.s, sizeof out.s, "%s%.40s", few ? "~" : "", format_us(us).s);
    return out;
}

/* ---- on a terminal ---- */

void format_printable(char *text, const char *kept)
{
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        bool second_half = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* of the controls, in UTF-8 */
        if (second_half)
            at[1] = '?';
        if (second_half || ((*at < ' ' || *at == 0x7f) && strchr(kept, *at) == NULL))
            *at = '?';
    }
}

int format_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}
