/* The parser of perfd.conf, for the files that share it: conf.c (loading, and what is worked out at the end),
 * conf_file.c (files and includes), conf_parse.c (directives, blocks, options), conf_value.c, conf_net.c, conf_route.c
, conf_rate.c
 * and conf_param.c (what a directive's words mean). A setter reads the words of one directive into its row's field.
 * Everything lives in the configuration's arena. */
#ifndef COMMON_CONF_PARSE_H
#define COMMON_CONF_PARSE_H

#include "common/conf_lex.h"
#include "common/conf_table.h"

enum { CONF_FILE_BYTES_MAX = 16 << 20, CONF_ROUTES_MAX = 1000, CONF_RATE_LIMITS_MAX = 100, CONF_BOUNDS_BYTES = 80 };

struct conf_arg {
    const char *text;
    struct conf_pos pos;
    bool quoted; /* all of it */
    bool joined; /* key="value" */
};

struct conf_directive {
    const char *name;
    struct conf_pos pos;
    struct conf_arg *args;
    int count;
    bool block; /* the lexer stands behind its { */
};

/* One block, or one directive's options, while it is read. */
struct conf_block {
    enum conf_context context;
    void *target;                                      /* struct conf, conf_upstream, conf_route or conf_param */
    const struct conf_directive *seen[CONF_ROW_COUNT]; /* where each row was given; NULL: not yet */
};

struct conf_frame; /* a file that is being read */

struct conf_parser {
    struct conf *conf;
    struct arena *arena;
    struct err *err;
    struct conf_lex *lex; /* of the innermost file */
    struct conf_frame *frames;
    struct conf_block main;
    struct conf_route *route;       /* whose block is being read */
    struct conf_upstream *upstream; /* likewise */
    int route_room, upstream_room;
};

typedef bool conf_set(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d);

/* conf_file.c. Paths in perfd.conf are relative to the file that they stand in. */
const char *conf_resolve(struct conf_parser *p, const char *path, const char *file) MUST_USE;
/* The bytes of a regular file: UTF-8 without NUL, 16 MB at most. What cannot be read is said at `at`, or by the file's
 * name alone where at.file is NULL. */
bool conf_read_file(struct conf_parser *p, const char *path, struct conf_pos at, struct slice *text_out) MUST_USE;
bool conf_parse_file(struct conf_parser *p, const char *path, struct conf_pos at) MUST_USE;
conf_set conf_set_include;

/* conf_parse.c */
/* From its name in `first` to its ; or {. NULL: it has neither. */
struct conf_directive *conf_read_directive(struct conf_parser *p, const struct conf_token *first) MUST_USE;
bool conf_parse_block(struct conf_parser *p, struct conf_block *block, const struct conf_directive *opener) MUST_USE;
/* The arguments of d from the first-th on, as KEY=VALUE and KEY. */
bool conf_parse_options(struct conf_parser *p, struct conf_block *block, const struct conf_directive *d,
                        int first) MUST_USE;
/* Fills the defaults of a context's rows. */
void conf_apply_defaults(struct conf_parser *p, enum conf_context context, void *target);
const struct conf_directive *conf_seen(const struct conf_block *block, const char *name); /* NULL: not given */
/* "did you mean" for a word that is none of `a | b | c`; "" when none is near. */
const char *conf_suggest(struct conf_parser *p, const char *alternatives, const char *word) MUST_USE;

/* Setters, by kind */
conf_set conf_set_duration, conf_set_size, conf_set_int, conf_set_count, conf_set_auto, conf_set_number, conf_set_text,
    conf_set_pattern, conf_set_prefix, conf_set_choice, conf_set_switch, conf_set_flag, conf_set_path, conf_set_log,
    conf_set_limit, conf_set_text_list, conf_set_block, conf_set_pool;               /* conf_value.c */
conf_set conf_set_nets, conf_set_listens, conf_set_database_url, conf_set_redis_url; /* conf_net.c */
conf_set conf_set_certificate;
conf_set conf_set_origins, conf_set_tokens; /* conf_cors.c */
conf_set conf_set_route, conf_set_sql, conf_set_query, conf_set_route_cache, conf_set_tag_list,
    conf_set_tags;       /* conf_route.c */
conf_set conf_set_param; /* conf_param.c */
conf_set conf_set_page;  /* conf_page.c */
conf_set conf_set_combine;
conf_set conf_set_upstream, conf_set_upstream_url, conf_set_target;                      /* conf_upstream.c */
conf_set conf_set_rate_limit, conf_set_rate, conf_set_rate_by, conf_set_rate_limit_name; /* conf_rate.c */
conf_set conf_set_batch;                                                                 /* conf_route.c */
conf_set conf_set_fan;                                                                   /* conf_fan.c */

/* Which rate_limit counts for the route. */
bool conf_finish_rate_limit(struct conf_parser *p, struct conf_route *route) MUST_USE;
/* A rule for the parameter, made without a line of its own if it has none yet. */
struct conf_param *conf_param_of(struct conf_parser *p, struct conf_route *route, const char *name);
/* What its other directives must be for `combine`. */
bool conf_finish_combine(struct conf_parser *p, const struct conf_route *route) MUST_USE;
/* With its page, if it has one: what its other directives must say. */
bool conf_finish_page(struct conf_parser *p, struct conf_route *route) MUST_USE;
/* A route that is a fan: it has nothing that only a query has. */
bool conf_check_fan(struct conf_parser *p, const struct conf_block *block, const struct conf_route *route) MUST_USE;
bool conf_fan_takes(const struct conf_row *row); /* a row of a route's block */
/* When all routes are known: which of them answer the parts of this one. */
bool conf_finish_fan(struct conf_parser *p, struct conf_route *route) MUST_USE;
/* When all fans are finished: they lead nowhere back to themselves, and what is cached has not too many tags. */
bool conf_check_fans(struct conf_parser *p) MUST_USE;
/* Who user and group are. */
bool conf_finish_user(struct conf_parser *p) MUST_USE;
bool conf_finish_tls(struct conf_parser *p, const struct conf_block *block, const struct conf_directive *d) MUST_USE;
conf_set conf_set_percent; /* conf_memory.c */
bool conf_finish_memory(struct conf_parser *p, const struct conf_directive *d) MUST_USE;
bool conf_finish_cors(struct conf_parser *p, const struct conf_block *block, const struct conf_directive *d) MUST_USE;

/* With its block, if it does not answer from SQL: what makes sense for SQL alone is refused. */
bool conf_finish_source(struct conf_parser *p, const struct conf_block *block, const struct conf_route *route) MUST_USE;
bool conf_row_of_sql(const struct conf_row *row); /* a directive of a route that only one with SQL has */
/* The upstream that the route names. */
bool conf_find_upstream(struct conf_parser *p, struct conf_route *route) MUST_USE;

/* What is wrong with the path of a route, or NULL. */
const char *conf_check_path(const char *path);
/* The first segment of *at, which it moves behind it. */
struct slice conf_next_segment(const char **at);
/* A segment {name}; its name is between the braces. */
bool conf_is_name_segment(struct slice segment, struct slice *name_out);

/* What the routes share with the whole: time-outs that they inherit, a database, the version. */
bool conf_finish_routes(struct conf_parser *p) MUST_USE;
/* "1s to 1d"; false: a row of this kind has no bounds. */
bool conf_bounds_text(const struct conf_row *row, char text[static CONF_BOUNDS_BYTES]);
/* Hash of all that shapes the answers of a route. */
uint64_t conf_route_version(const struct conf *conf, const struct conf_route *route);
bool conf_name_ok(struct slice name); /* [A-Za-z_][A-Za-z0-9_]*, at most 63 bytes */
/* A copy of a database or Redis url with its passwords as ***. */
char *conf_mask_url(struct arena *arena, const char *url) MUST_USE;

#endif
