/* The configuration as the rest of perfd reads it: parsed, checked, with every default filled in. Immutable after
 * conf_load(); freed whole by conf_destroy(). Durations are microseconds, sizes bytes.
 * The grammar is conf_lex.h's, the directives are the rows of conf.def. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include "common/arena.h"
#include "common/err.h"
#include "common/net.h"

#include <stdio.h>
#include <sys/types.h>

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT };
/* Where the answers of a route come from. */
enum route_source { FROM_SQL, FROM_UPSTREAM, FROM_FAN, FROM_BATCH };
enum listen_kind { LISTEN_AUTO, LISTEN_ON, LISTEN_OFF };
enum result_kind { RESULT_ROWS, RESULT_ROW, RESULT_VALUE, RESULT_NONE };
enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED };
enum plan_mode { PLAN_AUTO, PLAN_GENERIC, PLAN_CUSTOM }; /* PostgreSQL's plan_cache_mode */

/* In place of bytes. */
enum conf_limit { CONF_LIMIT_AUTO = -2, CONF_LIMIT_NONE = -1, CONF_LIMIT_OFF = 0 };

extern const char *const method_names[METHOD_COUNT]; /* "GET" ... */

struct conf_pos {
    const char *file; /* as it was opened */
    int line;         /* from 1 */
    int column;       /* from 1 */
};

struct conf_strings {
    const char **at;
    int count;
};

enum { WORKERS_MAX = 120 }; /* the bound of conf.def */

struct conf_listen {
    const char *path; /* of a unix socket, which has none of the following; else NULL */
    const char *host; /* numeric, without brackets */
    const char *port;
    bool v6;
    struct conf_pos pos;
};

struct conf_nets {
    struct net *at;
    const char **texts; /* as they were written */
    int count;
    bool local; /* whoever connects over a unix socket, too */
};

struct conf_listens {
    struct conf_listen *at;
    int count;
};

/* `param NAME default=50 min=1 max=200 enum=a,b pattern=^x max_length=320 required;` */
struct conf_param {
    const char *name;
    const char *default_text; /* NULL: none */
    bool has_min, has_max;
    double min, max;
    struct conf_strings enum_values;
    const char *pattern; /* POSIX extended regular expression, checked to compile; NULL: none */
    int64_t max_length;  /* characters; 0: none */
    bool required;       /* absent and null are refused */
    struct conf_pos pos;
};

/* `page keyset COLUMN:desc ...;` of the route's result. */
struct conf_key {
    const char *column;
    bool descending;
    struct conf_pos pos;
};

struct conf_page {
    struct conf_key *keys;
    int key_count; /* 0: the route has no pages */
    struct conf_pos pos;
};

enum { CONF_PAGE_KEYS_MAX = 4 };
/* Parameters that a route with pages has beside those of its query. `limit` has its rules in the route's params. */
#define CONF_PAGE_LIMIT "limit"
#define CONF_PAGE_CURSOR "cursor"

/* An HTTP API that routes answer from. */
struct conf_upstream {
    const char *name;
    const char *url;                      /* as it was written */
    const char *origin;                   /* scheme://host:port of it */
    const char *base;                     /* its path, without a / at its end */
    int max_connections, queue, max_idle; /* of a worker */
    int64_t idle_timeout_us, max_lifetime_us;
    int64_t timeout_us, connect_timeout_us;
    int retries;
    int64_t max_response_bytes;
    bool verify;
    const char *ca;              /* PEM file; NULL: the system's authorities */
    struct conf_strings forward; /* request header fields of the consumer that are passed on */
    struct conf_strings take;    /* header fields of its answers that are passed on */
    struct conf_pos pos;
};

/* `NAME PATH [optional];` of a fan: one member of its answer. */
struct conf_part {
    const char *name;
    const char *target; /* of a GET, a template: "/api/users/{id}/posts?limit={limit}" */
    bool optional;      /* null where it fails */
    int route;          /* which of the routes answers it */
    struct conf_pos pos, target_pos;
};

enum { CONF_PARTS_MAX = 32, CONF_FAN_DEPTH_MAX = 3 };

struct conf_route {
    enum method method;
    const char *path; /* "/api/users/{id}" */
    const char *name; /* "GET /api/users/{id}" */
    enum route_source from;
    struct conf_strings templates;        /* not FROM_SQL: texts whose {name}s are the route's parameters */
    const struct conf_upstream *upstream; /* FROM_UPSTREAM: whose templates[0] is the target */
    const char *upstream_name;
    struct conf_pos upstream_pos;
    const char *sql_file;    /* FROM_SQL: resolved path, or NULL when the query stands in perfd.conf */
    const char *sql_text;    /* FROM_SQL: the file's bytes or the query */
    struct conf_pos sql_pos; /* where the text begins: {sql_file,1,1} or the query's string */
    enum result_kind result;
    int status;  /* of success; 200, or 204 for `none` */
    bool cached; /* GET with a `cache` directive */
    bool redis;  /* its answers are kept in Redis too, where there is one */
    /* ttl: of an upstream, in place of what it says; 0: it says. The others: 0 is none. */
    int64_t cache_ttl_us, cache_tti_us, cache_stale_us, cache_stale_if_error_us, cache_negative_us;
    struct conf_strings cache_tags;  /* templates such as "user:{id}" */
    struct conf_strings invalidates; /* the same */
    int64_t timeout_us;              /* statement time-out; the database's default when the route has none */
    int64_t slow_query_us;           /* the database's when the route has none; 0: none is slow */
    int64_t objective_us;            /* of its answers; 0: none */
    bool bigint_string;
    enum plan_mode plan;
    bool replica; /* it is read from a replica that may be read from */
    bool share;   /* its query may run in one transaction with those of others */
    bool errors_verbose;
    bool compress;                       /* where conf->compress is */
    int max_concurrent;                  /* 0: no limit of its own */
    const char *rate_limit;              /* as it was given; NULL: not at all */
    const struct conf_rate_limit *limit; /* that counts for it; NULL: none */
    struct conf_pos rate_limit_pos;
    int combine_keys; /* lookups of several requests in one query at most; 0: each has its own */
    struct conf_pos combine_pos;
    struct conf_page page;
    struct conf_part *parts; /* FROM_FAN */
    int part_count;
    int concurrency;          /* FROM_FAN, FROM_BATCH: requests for one answer at a time */
    int64_t max_answer_bytes; /* FROM_FAN, FROM_BATCH: of all bodies that one is made of */
    int max_items;            /* FROM_BATCH */
    struct conf_param *params;
    int param_count;
    uint64_t version; /* hash of all that shapes the answer: cache entries of a changed route do not match */
    struct conf_pos pos;
};

/* `rate_limit NAME { rate 100/s; burst 200; by header X-Api-Key; }` */
struct conf_rate {
    int64_t count, per_us;
};

struct conf_rate_limit {
    const char *name;
    struct conf_rate rate;
    int burst;
    const char *header; /* whose value is the consumer; NULL: its address is */
    bool all;
    struct conf_pos pos;
};

/* The chain of a certificate and its key, as PEM files. */
struct conf_certificate {
    const char *file, *key_file;
    struct conf_pos pos;
};

struct conf {
    struct arena *arena;
    const char *file;     /* the main file */
    uint64_t fingerprint; /* of the bytes of all files that it was read from, those of queries too */

    struct conf_listens listen;
    struct conf_listens admin;
    struct conf_nets trusted_proxies;
    bool proxy_protocol;
    int workers;              /* auto resolved: CPUs this process may run on */
    const char *user, *group; /* NULL: not given; what follows counts with a user alone */
    const char *home;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* of the user, with gid */
    int group_count;
    int64_t core_limit_bytes; /* or of enum conf_limit */
    bool cpu_affinity;
    const char *run_dir;    /* statistics file, control socket, lock file; created if missing */
    const char *access_log; /* path, "stderr" or "off" */
    enum access_log_format access_log_format;
    const char *error_log; /* path or "stderr" */
    int log_level;         /* enum log_level */
    int64_t max_body_bytes, max_uri_bytes, max_head_bytes;
    int64_t keepalive_timeout_us, keepalive_min_us, request_timeout_us, shutdown_timeout_us, hang_timeout_us;
    int64_t upgrade_timeout_us;
    int64_t head_timeout_us, body_timeout_us, send_timeout_us;
    int max_connections; /* of a worker */
    bool fast_path, server_timing;
    int max_concurrent; /* 0: no limit */
    int64_t permit_wait_us;
    int permit_queue; /* of a worker */
    int64_t stream_above_bytes, stream_memory_bytes;
    bool compress;
    bool offload;
    int offload_threads, offload_queue; /* of a worker */

    struct {
        bool set;
        const char *url;
        int pool_max;   /* a worker's connections; auto resolved: 2 x cores */
        bool pool_auto; /* fewer where the server allows fewer */
        int pool_min;
        int pool_depth; /* short reads on one connection at a time */
        int pool_queue; /* requests a worker lets wait */
        int64_t acquire_timeout_us, idle_timeout_us, max_lifetime_us;
        int64_t connect_timeout_us, statement_timeout_us, stream_timeout_us;
        int listen;                   /* enum listen_kind */
        const char *listen_url;       /* NULL: the url */
        bool prepare;                 /* off: the server's session is another one in each transaction */
        const char *replica_url;      /* NULL: none */
        int replica_max, replica_min; /* a worker's connections to each */
        int64_t max_lag_us;
        int64_t slow_query_us; /* 0: none is slow */
        bool slow_query_params;
    } database;
    struct {
        bool set;
        const char *url;
        int64_t timeout_us;
        const char *prefix; /* of every key, default "perfd" */
        int connections;    /* of a worker */
        int64_t max_value_bytes;
        int listen; /* enum listen_kind */
    } redis;
    struct {
        bool set;
        struct conf_listens listen;
        struct conf_certificate *certificates;
        int certificate_count;
        int min_version; /* 0: TLS 1.2; 1: TLS 1.3 */
    } tls;
    struct {
        bool set;
        struct conf_strings origins; /* "*", or such as "https://app.example"; a star for names below */
        struct conf_strings headers; /* that may be sent; none: all that are asked for */
        struct conf_strings expose;
        int64_t max_age_us;
        bool credentials;
    } cors;
    struct {
        int64_t size_bytes;
        int64_t entries;
        int64_t ttl_us, tti_us; /* default of the routes */
        int64_t ttl_without_listener_us;
    } cache;
    struct {
        int64_t worker_soft_bytes, worker_hard_bytes; /* CONF_LIMIT_AUTO: until the master has worked it out */
        int alert_percent, shed_percent;              /* 0: off */
    } memory;

    struct conf_upstream *upstreams;
    int upstream_count;
    struct conf_rate_limit *rate_limits;
    int rate_limit_count;
    struct conf_route *routes;
    int route_count;
};

static inline bool conf_listens_to_database(const struct conf *conf)
{
    return conf->database.set && conf->database.listen != LISTEN_OFF;
}

/* To what other machines' perfds say. */
static inline bool conf_listens_to_redis(const struct conf *conf)
{
    return conf->redis.set && conf->redis.listen != LISTEN_OFF;
}

/* Reads path and all it includes. NULL with err = "file:line:column: what is wrong" (or the file that cannot be read).
 */
struct conf *conf_load(const char *path, struct err *err) MUST_USE;
void conf_destroy(struct conf **conf);

/* The effective configuration in perfd.conf's own grammar, passwords in URLs replaced by *** (perfd -T). */
void conf_print(const struct conf *conf, FILE *out);
/* Every directive with its context, arguments, default, bounds and what applies it, from conf.def; as text for
 * `perfd --help-config`, as mdoc for perfd.conf(5). */
void conf_print_help(FILE *out);
void conf_print_help_mdoc(FILE *out);

#endif
