#include "common/conf_table.h"
#include "common/clock.h"

/* The units of conf.def's bounds. */
#define MS US_PER_MS
#define SECOND US_PER_S
#define MINUTE (60 * US_PER_S)
#define DAY (86400 * US_PER_S)
#define MB (INT64_C(1) << 20)
#define GB (INT64_C(1) << 30)
#define AT(type, field) offsetof(struct type, field)
#define NOWHERE 0

const struct conf_row conf_rows[CONF_ROW_COUNT] = {
#define ROW(context, name, kind, where, preset, min, max, applies, arguments, doc)                                     \
    {CONF_IN_##context, #name, CONF_##kind, where, preset, min, max, CONF_##applies, arguments, doc},
#include "common/conf.def"
#undef ROW
};

const char *const conf_context_names[CONF_CONTEXT_COUNT] = {
    [CONF_IN_MAIN] = "main",
    [CONF_IN_DATABASE] = "database",
    [CONF_IN_POOL] = "pool",
    [CONF_IN_REPLICA_POOL] = "replica_pool",
    [CONF_IN_REDIS] = "redis",
    [CONF_IN_TLS] = "tls",
    [CONF_IN_CORS] = "cors",
    [CONF_IN_CACHE] = "cache",
    [CONF_IN_MEMORY] = "memory",
    [CONF_IN_ROUTE] = "route",
    [CONF_IN_ROUTE_CACHE] = "route's cache",
    [CONF_IN_PARAM] = "param",
    [CONF_IN_UPSTREAM] = "upstream",
    [CONF_IN_RATE_LIMIT] = "rate_limit",
    [CONF_IN_FAN] = "fan",
    [CONF_IN_BATCH] = "batch",
};

const struct conf_row *conf_row_find(enum conf_context context, struct slice name)
{
    for (int i = 0; i < CONF_ROW_COUNT; i++)
        if (conf_rows[i].context == context && slice_is(name, conf_rows[i].name))
            return &conf_rows[i];
    return NULL;
}

/* Optimal string alignment: three rows of the table suffice. */
int conf_distance(const char *a, const char *b)
{
    enum { LONGEST = 40, FAR = 1000 };
    int rows[3][LONGEST + 1];
    int a_len = (int)strnlen(a, LONGEST + 1), b_len = (int)strnlen(b, LONGEST + 1);
    if (a_len > LONGEST || b_len > LONGEST)
        return FAR;
    for (int j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (int i = 1; i <= a_len; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= b_len; j++) {
            int changed = before[j - 1] + (a[i - 1] != b[j - 1]);
            int longer = MIN(before[j], now[j - 1]) + 1;
            now[j] = MIN(changed, longer);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = MIN(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const struct conf_row *conf_row_near(enum conf_context context, const char *name)
{
    const struct conf_row *best = NULL;
    int least = MAX((int)strnlen(name, 100) / 3, 1) + 1; /* one letter in three may be wrong */
    for (int i = 0; i < CONF_ROW_COUNT; i++) {
        int distance = conf_rows[i].context == context ? conf_distance(name, conf_rows[i].name) : least;
        if (distance < least) {
            least = distance;
            best = &conf_rows[i];
        }
    }
    return best;
}

const struct conf_row *conf_row_elsewhere(enum conf_context context, const char *name)
{
    for (int i = 0; i < CONF_ROW_COUNT; i++)
        if (conf_rows[i].context != context && strcmp(conf_rows[i].name, name) == 0)
            return &conf_rows[i];
    return NULL;
}

bool conf_row_computed(const struct conf_row *row)
{
    return row->default_text != NULL && row->default_text[0] == '(';
}

struct slice conf_alternative_name(const char *alternatives, int index)
{
    const char *at = alternatives;
    while (index-- > 0) {
        at = strstr(at, " | ");
        CHECK(at != NULL);
        at += 3;
    }
    const char *end = strstr(at, " | ");
    return slice_of(at, end ? (size_t)(end - at) : strlen(at));
}

int conf_alternative(const char *alternatives, const char *word)
{
    int count = 1;
    for (const char *at = strstr(alternatives, " | "); at != NULL; at = strstr(at + 3, " | "))
        count++;
    for (int i = 0; i < count; i++)
        if (slice_is(conf_alternative_name(alternatives, i), word))
            return i;
    return -1;
}
