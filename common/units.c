#include "common/units.h"
#include "common/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t worth;
};

/* Largest first, as the printers try them. */
static const struct unit durations[] = {
    {"d", 86400 * US_PER_S}, {"h", 3600 * US_PER_S}, {"m", 60 * US_PER_S}, {"s", US_PER_S}, {"ms", US_PER_MS},
};
static const struct unit sizes[] = {
    {"GB", INT64_C(1) << 30}, {"MB", INT64_C(1) << 20}, {"KB", INT64_C(1) << 10}, {"B", 1}, {"", 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits that text begins with; where they end, or NULL when there are none or they do not fit. */
static const char *read_digits(const char *text, int64_t *value_out)
{
    int64_t value = 0;
    const char *at = text;
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
            return NULL;
    *value_out = value;
    return at > text ? at : NULL;
}

/* False when no unit has this name or the product does not fit. */
static bool scale(const struct unit *units, size_t count, const char *name, int64_t value, int64_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, name) == 0)
            return !__builtin_mul_overflow(value, units[i].worth, out);
    return false;
}

const char *unit_parse_duration(const char *text, int64_t *us_out)
{
    int64_t value;
    const char *unit = read_digits(text, &value);
    if (unit != NULL && *unit == '\0') {
        *us_out = 0;
        return value == 0 ? NULL : "needs a unit: ms, s, m, h or d";
    }
    if (unit == NULL || !scale(durations, ARRAY_LEN(durations), unit, value, us_out))
        return "is not a duration such as 250ms, 3s, 5m, 1h or 1d";
    return NULL;
}

const char *unit_parse_size(const char *text, int64_t *bytes_out)
{
    int64_t value;
    const char *unit = read_digits(text, &value);
    if (unit == NULL || !scale(sizes, ARRAY_LEN(sizes), unit, value, bytes_out))
        return "is not a size such as 512, 64KB, 256MB or 2GB";
    return NULL;
}

const char *unit_parse_int(const char *text, int64_t *value_out)
{
    bool negative = *text == '-';
    const char *end = read_digits(text + negative, value_out);
    if (end == NULL || *end != '\0')
        return "is not a whole number";
    if (negative)
        *value_out = -*value_out;
    return NULL;
}

/* strtod() also takes white space, hexadecimal, inf and nan: the shape is checked first. */
static bool looks_like_number(const char *at)
{
    at += *at == '-';
    size_t digits = strspn(at, "0123456789");
    at += digits;
    if (*at == '.') {
        size_t decimals = strspn(at + 1, "0123456789");
        if (decimals == 0)
            return false;
        at += 1 + decimals;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return digits > 0 && *at == '\0';
}

const char *unit_parse_number(const char *text, double *value_out)
{
    if (!looks_like_number(text))
        return "is not a number";
    *value_out = strtod(text, NULL);
    return isfinite(*value_out) ? NULL : "is too large";
}

const char *unit_print_duration(int64_t us, char buf[static UNIT_TEXT_BYTES])
{
    CHECK(us >= 0 && us % US_PER_MS == 0);
    size_t i = 0;
    while (us % durations[i].worth != 0)
        i++;
    snprintf(buf, UNIT_TEXT_BYTES, "%" PRId64 "%s", us / durations[i].worth, us == 0 ? "" : durations[i].name);
    return buf;
}

const char *unit_print_size(int64_t bytes, char buf[static UNIT_TEXT_BYTES])
{
    size_t i = 0;
    while (bytes == 0 ? sizes[i].name[0] != '\0' : bytes % sizes[i].worth != 0)
        i++;
    snprintf(buf, UNIT_TEXT_BYTES, "%" PRId64 "%s", bytes / sizes[i].worth, sizes[i].name);
    return buf;
}

const char *unit_print_number(double value, char buf[static UNIT_TEXT_BYTES])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, UNIT_TEXT_BYTES, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            break;
    }
    return buf;
}
