#include "worker/http_date.h"

#include <strings.h>
#include <time.h>

enum { CENTURY_AHEAD_YEARS = 50 };

static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
enum { DAY_NAME_BYTES = 3 };

/* Each takes what it names off the front of the text, or is false. */

static bool take_text(struct slice *text, const char *what)
{
    size_t len = strlen(what);
    if (text->len < len || strncasecmp(text->at, what, len) != 0)
        return false;
    *text = slice_of(text->at + len, text->len - len);
    return true;
}

static bool take_digits(struct slice *text, size_t count, int *value_out)
{
    *value_out = 0;
    if (text->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text->at[i] < '0' || text->at[i] > '9')
            return false;
        *value_out = *value_out * 10 + text->at[i] - '0';
    }
    *text = slice_of(text->at + count, text->len - count);
    return true;
}

static bool take_month(struct slice *text, int *month_out)
{
    for (*month_out = 0; *month_out < (int)ARRAY_LEN(month_names); ++*month_out)
        if (take_text(text, month_names[*month_out]))
            return true;
    return false;
}

/* Its first three letters, or all of them. */
static bool take_day_name(struct slice *text, bool whole)
{
    for (size_t i = 0; i < ARRAY_LEN(day_names); i++) {
        char word[16];
        strcpy(word, day_names[i]);
        if (!whole)
            word[DAY_NAME_BYTES] = '\0';
        if (take_text(text, word))
            return true;
    }
    return false;
}

static bool take_time(struct slice *text, struct tm *tm)
{
    return take_digits(text, 2, &tm->tm_hour) && take_text(text, ":") && take_digits(text, 2, &tm->tm_min) &&
           take_text(text, ":") && take_digits(text, 2, &tm->tm_sec);
}

static bool take_zone(struct slice *text)
{
    return take_text(text, " GMT") || take_text(text, " UTC");
}

static bool read_fixdate(struct slice text, struct tm *tm)
{
    return take_day_name(&text, false) && take_text(&text, ", ") && take_digits(&text, 2, &tm->tm_mday) &&
           take_text(&text, " ") && take_month(&text, &tm->tm_mon) && take_text(&text, " ") &&
           take_digits(&text, 4, &tm->tm_year) && take_text(&text, " ") && take_time(&text, tm) && take_zone(&text) &&
           text.len == 0;
}

static int year_of(int64_t unix_s)
{
    time_t s = unix_s;
    struct tm tm;
    return gmtime_r(&s, &tm) != NULL ? tm.tm_year + 1900 : 1970;
}

static bool read_rfc850(struct slice text, int64_t now_s, struct tm *tm)
{
    if (!take_day_name(&text, true) || !take_text(&text, ", ") || !take_digits(&text, 2, &tm->tm_mday) ||
        !take_text(&text, "-") || !take_month(&text, &tm->tm_mon) || !take_text(&text, "-") ||
        !take_digits(&text, 2, &tm->tm_year) || !take_text(&text, " ") || !take_time(&text, tm) || !take_zone(&text) ||
        text.len > 0)
        return false;
    int now = year_of(now_s), year = now / 100 * 100 + tm->tm_year;
    tm->tm_year = year > now + CENTURY_AHEAD_YEARS ? year - 100 : year;
    return true;
}

/* A day below ten has a space in front, or a zero. */
static bool read_asctime(struct slice text, struct tm *tm)
{
    return take_day_name(&text, false) && take_text(&text, " ") && take_month(&text, &tm->tm_mon) &&
           take_text(&text, " ") &&
           (take_text(&text, " ") ? take_digits(&text, 1, &tm->tm_mday) : take_digits(&text, 2, &tm->tm_mday)) &&
           take_text(&text, " ") && take_time(&text, tm) && take_text(&text, " ") &&
           take_digits(&text, 4, &tm->tm_year) && text.len == 0;
}

/* timegm() would take the 31st of a short month for a day of the next one. */
static bool to_unix(struct tm *tm, int64_t *unix_s_out)
{
    int day = tm->tm_mday, month = tm->tm_mon;
    if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
        return false;
    tm->tm_year -= 1900;
    *unix_s_out = timegm(tm); /* a leap second is the next one's first */
    struct tm back = {.tm_year = tm->tm_year, .tm_mon = month, .tm_mday = day};
    (void)timegm(&back);
    return back.tm_mday == day && back.tm_mon == month;
}

bool http_date_parse(struct slice text, int64_t now_s, int64_t *unix_s_out)
{
    struct tm tm = {0};
    return (read_fixdate(text, &tm) || read_rfc850(text, now_s, &tm) || read_asctime(text, &tm)) &&
           to_unix(&tm, unix_s_out);
}
