/* The rows of conf.def as a table, and what the parser asks of it: by which name, in which block, and what was probably
 * meant by a name that is not there. */
#ifndef COMMON_CONF_TABLE_H
#define COMMON_CONF_TABLE_H

#include "common/conf.h"

/* Where a directive stands, or whose option it is. */
enum conf_context {
    CONF_IN_MAIN,
    CONF_IN_DATABASE,
    CONF_IN_POOL,
    CONF_IN_REPLICA_POOL,
    CONF_IN_REDIS,
    CONF_IN_TLS,
    CONF_IN_CORS,
    CONF_IN_CACHE,
    CONF_IN_MEMORY,
    CONF_IN_UPSTREAM,
    CONF_IN_RATE_LIMIT,
    CONF_IN_ROUTE,
    CONF_IN_ROUTE_CACHE,
    CONF_IN_FAN,
    CONF_IN_BATCH,
    CONF_IN_PARAM,
    CONF_CONTEXT_COUNT
};

enum conf_kind {
    CONF_DURATION,
    CONF_SIZE,
    CONF_INT,   /* int */
    CONF_COUNT, /* int64_t */
    CONF_AUTO,  /* int; 0 until auto is worked out */
    CONF_NUMBER,
    CONF_TEXT,
    CONF_PATTERN,
    CONF_PREFIX,
    CONF_CHOICE, /* int: which of the row's alternatives */
    CONF_SWITCH, /* bool: the second of the row's two alternatives */
    CONF_FLAG,
    CONF_LIMIT, /* int64_t bytes, or of enum conf_limit */
    CONF_PATH,
    CONF_LOG,
    CONF_LISTENS,
    CONF_NETS,
    CONF_DATABASE_URL,
    CONF_REDIS_URL,
    CONF_TEXT_LIST,
    CONF_TAG_LIST,
    CONF_TAGS,
    CONF_INCLUDE,
    CONF_DATABASE,
    CONF_POOL,
    CONF_REPLICA_POOL,
    CONF_REDIS,
    CONF_TLS,
    CONF_CERTIFICATE,
    CONF_CORS,
    CONF_ORIGINS,
    CONF_TOKENS,
    CONF_CACHE,
    CONF_MEMORY,
    CONF_PERCENT, /* int; 0: off */
    CONF_UPSTREAM,
    CONF_UPSTREAM_URL,
    CONF_RATE_LIMIT,
    CONF_RATE,
    CONF_RATE_BY,
    CONF_RATE_LIMIT_NAME,
    CONF_ROUTE,
    CONF_BATCH,
    CONF_SQL,
    CONF_QUERY,
    CONF_ROUTE_CACHE,
    CONF_PARAM,
    CONF_PAGE,
    CONF_COMBINE,
    CONF_TARGET,
    CONF_FAN,
    CONF_KIND_COUNT
};

enum conf_applies { CONF_RELOAD, CONF_RESTART };

struct conf_row {
    enum conf_context context;
    const char *name;
    enum conf_kind kind;
    size_t offset; /* of its field in struct conf, conf_upstream, conf_route or conf_param, as the context says */
    const char *default_text;
    int64_t min, max;
    enum conf_applies applies;
    const char *arguments;
    const char *doc;
};

enum {
    CONF_ROW_COUNT = 0
#define ROW(...) +1
#include "common/conf.def"
#undef ROW
};

extern const struct conf_row conf_rows[CONF_ROW_COUNT];
extern const char *const conf_context_names[CONF_CONTEXT_COUNT]; /* "main", "database", "database: pool" ... */

const struct conf_row *conf_row_find(enum conf_context context, struct slice name); /* NULL: there is none */
/* The row of this context whose name looks like name, or NULL. */
const struct conf_row *conf_row_near(enum conf_context context, const char *name);
/* A row of this name in another context, or NULL. */
const struct conf_row *conf_row_elsewhere(enum conf_context context, const char *name);
bool conf_row_computed(const struct conf_row *row); /* its default is in parentheses */

/* Which of "a | b | c" word is, or -1. */
int conf_alternative(const char *alternatives, const char *word);
/* The index-th of them. */
struct slice conf_alternative_name(const char *alternatives, int index);
/* How many letters were mistaken, left out, added or exchanged to make one word the other. Long words: 1000. */
int conf_distance(const char *a, const char *b);

#endif
