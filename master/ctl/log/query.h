/* Which lines of an access log are asked for:
 *
 *     route="GET /x/{id}" and ms>200 and not (status<500 or cache=HIT)
 *
 * A comparison is a field, one of = != < <= > >= ~ and a value, in quotes where it has blanks or brackets. `not` binds
 * tighter than `and`, that tighter than `or`. Numbers compare as numbers, all else as bytes. ~ is a pattern of the
 * whole value: * is any text, ? any byte; with = and != a * is so, too. A field that a line does not have is unlike
 * everything: != is true of it, and nothing else. */
#ifndef MASTER_CTL_LOG_QUERY_H
#define MASTER_CTL_LOG_QUERY_H

#include "master/ctl/log/line.h"

enum { QUERY_DEPTH_MAX = 64 };

struct query_error {
    size_t offset; /* byte of the text, from 0; at most its length */
    const char *what;
};

struct log_query;

/* In arena; the text must live as long. NULL: what is wrong stands in *error_out. An empty text asks for every line. */
struct log_query *log_query_parse(struct slice text, struct arena *arena, struct query_error *error_out) MUST_USE;
bool log_query_matches(const struct log_query *query, const struct line *line) MUST_USE;
/* The pattern of ~ and the whole text; questions: ? is any byte. */
bool log_query_glob(struct slice pattern, struct slice text, bool questions) MUST_USE;

#endif
