/* links: master/ctl/log/query.c master/ctl/log/line.c */
/* master/ctl/log: what perfctl log is asked for, and the lines that it reads. A query that is refused says at which of
 * its bytes; one that is taken means the same in brackets, and its negation the opposite. */
#include "master/ctl/log/query.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#define WHOLE                                                                                                          \
    "{\"time\":\"2026-11-29T17:40:05.000042Z\",\"request_id\":\"a\",\"remote\":\"192.0.2.7\",\"method\":\"GET\","      \
    "\"target\":\"/a?b=1\",\"status\":503,\"bytes\":0,\"duration_us\":200500,\"route\":\"GET "                         \
    "/x/{id}\",\"cache\":\"HIT\"}"

/* It is one nesting deeper: where it is taken at all. */
static void check_around(struct slice text, const char *before, bool expected, const struct line *line,
                         struct arena *arena)
{
    struct query_error error;
    struct slice around = slice_str(arena_printf(arena, "%s(" SLICE_FMT ")", before, SLICE_ARG(text)));
    const struct log_query *q = log_query_parse(around, arena, &error);
    if (q == NULL)
        CHECK(strstr(error.what, "deep") != NULL);
    else
        CHECK(log_query_matches(q, line) == expected);
}

/* Up to the first line's end the input is a query, behind it a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct slice text = slice_of((const char *)data, size);
    const char *end = size > 0 ? memchr(text.at, '\n', size) : NULL;
    struct slice raw = end != NULL ? slice_of(end + 1, size - (size_t)(end + 1 - text.at)) : SLICE(WHOLE);
    text.len = end != NULL ? (size_t)(end - text.at) : size;
    struct query_error error;
    struct line line;
    bool is_line = line_read(raw, arena, &line);
    const struct log_query *q = log_query_parse(text, arena, &error);
    if (q == NULL) {
        CHECK(error.what != NULL && error.offset <= text.len);
    } else if (is_line) {
        bool found = log_query_matches(q, &line), is_text = text.len > 0 && memchr(text.at, '\0', text.len) == NULL;
        if (is_text && strspn(arena_str(arena, text), " \t\r\v\f") < text.len) {
            check_around(text, "", found, &line, arena);
            check_around(text, "not", !found, &line, arena);
        }
    }
    arena_destroy(&arena);
    return 0;
}
