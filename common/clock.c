#include "common/clock.h"

#include <stdio.h>
#include <time.h>

enum { DAY_S = 24 * 60 * 60 };

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of_year(int64_t year)
{
    return 365 + is_leap(year);
}

static int days_of_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (month == 1 && is_leap(year));
}

void clock_stamp(int64_t wall_us, char stamp[static CLOCK_STAMP_BYTES])
{
    int64_t s = MAX(wall_us, INT64_C(0)) / US_PER_S, days = s / DAY_S, year = 1970;
    int month = 0;
    for (; days >= days_of_year(year); year++)
        days -= days_of_year(year);
    for (; days >= days_of_month(year, month); month++)
        days -= days_of_month(year, month);
    unsigned second = (unsigned)(s % DAY_S);
    snprintf(stamp, CLOCK_STAMP_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)year % 10000,
             (unsigned)month % 12 + 1, (unsigned)days % 31 + 1, second / 3600 % 24, second / 60 % 60, second % 60);
}
