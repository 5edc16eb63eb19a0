#include "master/ctl/check/rule.h"
#include "common/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_."
enum { DIGITS_MAX = 40 };

struct subject {
    const char *name;
    enum rule_of of;
    enum rule_dimension measures;
};

static const struct subject subjects[RULE_SUBJECTS] = {
#define SUBJECT(name, of, measures, help) {#name, OF_##of, RULE_##measures},
#include "master/ctl/check/rule.def"
#undef SUBJECT
};

static const struct unit {
    const char *name;
    enum rule_dimension dimension;
    double factor;
} units[] = {
    {"", RULE_COUNT, 1},
    {"us", RULE_TIME, 1},
    {"ms", RULE_TIME, 1e3},
    {"s", RULE_TIME, 1e6},
    {"m", RULE_TIME, 60e6},
    {"h", RULE_TIME, 3600e6},
    {"%", RULE_SHARE, 0.01},
    {"/s", RULE_RATE, 1},
    {"/m", RULE_RATE, 1.0 / 60},
    {"B", RULE_BYTE_COUNT, 1},
    {"KB", RULE_BYTE_COUNT, 1024},
    {"MB", RULE_BYTE_COUNT, 1 << 20},
    {"GB", RULE_BYTE_COUNT, 1 << 30},
};

bool rule_error_set(struct rule_error *error, size_t at, const char *fmt, ...)
{
    va_list args;
    error->at = at;
    va_start(args, fmt);
    vsnprintf(error->what, sizeof error->what, fmt, args);
    va_end(args);
    return false;
}

/* ---- reading ---- */

struct reader {
    const char *text;
    size_t at;
    struct rule_error *error;
};

static bool wrong(const struct reader *r, const char *what)
{
    return rule_error_set(r->error, r->at, "%s", what);
}

static void skip_blanks(struct reader *r)
{
    r->at += strspn(r->text + r->at, " \t");
}

static size_t name_len(const struct reader *r)
{
    return strspn(r->text + r->at, NAME_LETTERS);
}

/* With _ for each . */
static void take_name(struct reader *r, size_t len, char out[static RULE_BYTES])
{
    CHECK(len < RULE_BYTES);
    memcpy(out, r->text + r->at, len);
    out[len] = '\0';
    for (char *at = out; *at != '\0'; at++)
        if (*at == '.')
            *at = '_';
    r->at += len;
}

static bool find_subject(const char *name, enum rule_subject *out)
{
    for (int i = 0; i < RULE_value; i++)
        if (strcmp(subjects[i].name, name) == 0) {
            *out = (enum rule_subject)i;
            return true;
        }
    return false;
}

/* What stands up to the parenthesis that closes; there may be others in it. */
static bool take_argument(struct reader *r, struct rule *rule)
{
    const char *from;
    int depth = 1;
    r->at++;
    skip_blanks(r);
    rule->name_at = r->at;
    from = r->text + r->at;
    for (; r->text[r->at] != '\0' && depth > 0; r->at++)
        depth += (r->text[r->at] == '(') - (r->text[r->at] == ')');
    if (depth > 0)
        return wrong(r, "a ) is missing");
    size_t len = (size_t)(r->text + r->at - 1 - from);
    while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    if (len == 0)
        return rule_error_set(r->error, rule->name_at, "the routes are missing, as in (*)");
    memcpy(rule->name, from, len);
    rule->name[len] = '\0';
    return true;
}

/* p95(pool_wait) is of a time of stats.def, rate(restarts) of a counter; no route is called so. */
static bool take_function(struct reader *r, struct rule *rule, const char *word, size_t word_at)
{
    if (!find_subject(word, &rule->subject))
        return rule_error_set(r->error, word_at, "nothing that takes (routes) is called so");
    if (subjects[rule->subject].of != OF_ROUTES)
        return wrong(r, "it stands alone, and takes no routes");
    if (!take_argument(r, rule))
        return false;
    bool is_name = strspn(rule->name, NAME_LETTERS) == strlen(rule->name);
    for (char *at = rule->name; is_name && *at != '\0'; at++)
        if (*at == '.')
            *at = '_';
    rule->of = is_name ? OF_METRIC : OF_ROUTES;
    if (is_name && rule_quantile(rule->subject) == 0 && rule->subject != RULE_rate)
        return rule_error_set(r->error, rule->name_at, "it is of routes, such as * or GET /api/*");
    return true;
}

/* The quantile behind the last . of a word of so many bytes; pool_max is a metric, pool_wait.max the largest wait. */
static bool ends_in_quantile(const char *word, size_t len, enum rule_subject *subject_out)
{
    char last[RULE_BYTES];
    size_t dot = len;
    while (dot > 0 && word[dot - 1] != '.')
        dot--;
    snprintf(last, sizeof last, "%.*s", (int)(len - dot), word + dot);
    return dot > 1 && find_subject(last, subject_out) && rule_quantile(*subject_out) > 0;
}

/* NAME.p95, or the name of a subject or a metric. */
static bool take_plain(const struct reader *r, struct rule *rule, const char *word, size_t word_at)
{
    rule->name_at = word_at;
    if (find_subject(word, &rule->subject)) {
        rule->of = subjects[rule->subject].of;
        return rule->of == OF_NOTHING || rule_error_set(r->error, word_at, "needs its routes, as in %.20s(*)", word);
    }
    rule->of = OF_METRIC;
    snprintf(rule->name, sizeof rule->name, "%s", word);
    if (ends_in_quantile(r->text + word_at, strlen(word), &rule->subject))
        *strrchr(rule->name, '_') = '\0';
    else
        rule->subject = RULE_value;
    return true;
}

static bool take_what(struct reader *r, struct rule *rule)
{
    static const char each[] = "each";
    char word[RULE_BYTES];
    size_t word_at = r->at, len = name_len(r);
    if (len == sizeof each - 1 && memcmp(r->text + r->at, each, len) == 0) {
        rule->each = true;
        r->at += len;
        skip_blanks(r);
        word_at = r->at;
        len = name_len(r);
    }
    if (len == 0)
        return wrong(r, "what is to be measured is missing, as in p95(*)");
    take_name(r, len, word);
    skip_blanks(r);
    bool ok = r->text[r->at] == '(' ? take_function(r, rule, word, word_at) : take_plain(r, rule, word, word_at);
    if (ok && rule->each && rule->of != OF_ROUTES)
        return rule_error_set(r->error, word_at, "each is of routes, as in each p95(*)");
    return ok;
}

static bool take_op(struct reader *r, struct rule *rule)
{
    const char *at = r->text + r->at;
    if (*at != '<' && *at != '>')
        return wrong(r, "one of < <= > >= is missing");
    bool equal = at[1] == '=';
    rule->op = *at == '<' ? (equal ? RULE_AT_MOST : RULE_LESS) : equal ? RULE_AT_LEAST : RULE_MORE;
    r->at += equal ? 2 : 1;
    return true;
}

static bool take_unit(struct reader *r, struct rule *rule)
{
    size_t len = strcspn(r->text + r->at, " \t");
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && memcmp(r->text + r->at, units[i].name, len) == 0) {
            rule->unit = units[i].dimension;
            rule->limit *= units[i].factor;
            r->at += len;
            return true;
        }
    return wrong(r, "no unit: us ms s m h, %, /s /m, or B KB MB GB");
}

static bool take_limit(struct reader *r, struct rule *rule)
{
    char digits[DIGITS_MAX];
    size_t len = strspn(r->text + r->at, "0123456789.");
    rule->limit_at = r->at;
    if (len == 0 || len >= sizeof digits)
        return wrong(r, len ? "too many digits" : "a number is missing");
    memcpy(digits, r->text + r->at, len);
    digits[len] = '\0';
    if (unit_parse_number(digits, &rule->limit) != NULL)
        return wrong(r, "no number");
    r->at += len;
    skip_blanks(r);
    return take_unit(r, rule);
}

bool rule_parse(const char *text, struct rule *out, struct rule_error *error)
{
    struct reader r = {text, 0, error};
    *out = (struct rule){.op = RULE_LESS};
    if (strlen(text) >= RULE_BYTES)
        return rule_error_set(error, RULE_BYTES - 1, "longer than a rule can be");
    memcpy(out->text, text, strlen(text));
    skip_blanks(&r);
    if (!take_what(&r, out))
        return false;
    skip_blanks(&r);
    if (!take_op(&r, out))
        return false;
    skip_blanks(&r);
    if (!take_limit(&r, out))
        return false;
    skip_blanks(&r);
    if (text[r.at] != '\0')
        return wrong(&r, "more than a rule");
    enum rule_dimension dimension = subjects[out->subject].measures;
    return dimension == RULE_ANY || rule_takes(out, dimension, error);
}

/* ---- meaning ---- */

double rule_quantile(enum rule_subject subject)
{
    static const double quantiles[RULE_SUBJECTS] = {
        [RULE_p50] = 0.5, [RULE_p90] = 0.9, [RULE_p95] = 0.95, [RULE_p99] = 0.99, [RULE_p999] = 0.999, [RULE_max] = 1};
    return quantiles[subject];
}

bool rule_takes(const struct rule *rule, enum rule_dimension dimension, struct rule_error *error)
{
    static const char *const expected[] = {
        [RULE_TIME] = "it is a time, as 500ms",         [RULE_SHARE] = "it is a share, as 90% or 0.9",
        [RULE_RATE] = "it is a rate, as 100 or 100/s",  [RULE_BYTE_COUNT] = "it is in bytes, as 64MB",
        [RULE_COUNT] = "it is a count, without a unit", [RULE_ANY] = ""};
    bool plain = rule->unit == RULE_COUNT;
    bool fits = rule->unit == dimension || (plain && dimension == RULE_RATE) ||
                (plain && dimension == RULE_SHARE && rule->limit <= 1) || (plain && dimension == RULE_BYTE_COUNT) ||
                (plain && dimension == RULE_TIME && rule->limit == 0);
    return fits || rule_error_set(error, rule->limit_at, "%s", expected[dimension]);
}

bool rule_holds(const struct rule *rule, double value)
{
    switch (rule->op) {
    case RULE_LESS:
        return value < rule->limit;
    case RULE_AT_MOST:
        return value <= rule->limit;
    case RULE_MORE:
        return value > rule->limit;
    case RULE_AT_LEAST:
        return value >= rule->limit;
    }
    return false;
}

bool rule_is_worse(const struct rule *rule, double a, double b)
{
    return rule->op == RULE_LESS || rule->op == RULE_AT_MOST ? a > b : a < b;
}
