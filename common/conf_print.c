#include "common/buf.h"
#include "common/clock.h"
#include "common/conf_parse.h"
#include "common/units.h"

#include <inttypes.h>
#include <unistd.h>

/* perfd -T. The table decides what is printed, so that no directive is forgotten; what the lexer reads back is the same
 * configuration. Paths are printed absolute: the text may be saved in another folder. */
struct printer {
    struct arena *arena; /* of this call */
    FILE *out;
};

static bool is_plain_word(const char *text)
{
    return text[0] != '\0' && text[0] != '#' && strpbrk(text, " \t\r\n\v\f;\"'") == NULL &&
           strstr(text, "${") == NULL && strcmp(text, "{") != 0 && strcmp(text, "}") != 0;
}

static void print_quoted(FILE *out, const char *text)
{
    if (strchr(text, '\'') == NULL) {
        fprintf(out, "'%s'", text);
        return;
    }
    putc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || (*at == '$' && at[1] == '{'))
            putc('\\', out);
        putc(*at, out);
    }
    putc('"', out);
}

static void print_word(FILE *out, const char *text)
{
    if (is_plain_word(text))
        fputs(text, out);
    else
        print_quoted(out, text);
}

static const char *absolute(struct printer *p, const char *path)
{
    char folder[4096];
    if (path[0] == '/' || getcwd(folder, sizeof folder) == NULL)
        return path;
    return arena_printf(p->arena, "%s/%s", folder, path);
}

/* One a kind: what stands behind the name of a row whose field, inside target, is at `field`. */
typedef void print_value(struct printer *p, const struct conf_row *row, const void *field, const void *target);

static print_value print_duration, print_size, print_limit, print_int, print_count, print_number, print_text,
    print_choice, print_switch, print_nothing, print_path, print_log, print_listens, print_certificates, print_nets,
    print_url, print_list, print_words, print_pool, print_replica_pool, print_sql, print_query, print_route_cache,
    print_params, print_page, print_combine, print_target, print_fan, print_rate, print_rate_by, print_percent;

static print_value *const printers[CONF_KIND_COUNT] = {
    [CONF_DURATION] = print_duration,
    [CONF_SIZE] = print_size,
    [CONF_INT] = print_int,
    [CONF_COUNT] = print_count,
    [CONF_AUTO] = print_int,
    [CONF_NUMBER] = print_number,
    [CONF_TEXT] = print_text,
    [CONF_PATTERN] = print_text,
    [CONF_PREFIX] = print_text,
    [CONF_CHOICE] = print_choice,
    [CONF_SWITCH] = print_switch,
    [CONF_FLAG] = print_nothing,
    [CONF_LIMIT] = print_limit,
    [CONF_PATH] = print_path,
    [CONF_LOG] = print_log,
    [CONF_LISTENS] = print_listens,
    [CONF_NETS] = print_nets,
    [CONF_DATABASE_URL] = print_url,
    [CONF_REDIS_URL] = print_url,
    [CONF_TEXT_LIST] = print_list,
    [CONF_TAG_LIST] = print_list,
    [CONF_TAGS] = print_words,
    [CONF_INCLUDE] = NULL,  /* what it included is printed */
    [CONF_DATABASE] = NULL, /* blocks: conf_print() */
    [CONF_POOL] = print_pool,
    [CONF_REPLICA_POOL] = print_replica_pool,
    [CONF_REDIS] = NULL,
    [CONF_TLS] = NULL,
    [CONF_CERTIFICATE] = print_certificates,
    [CONF_CORS] = NULL,
    [CONF_ORIGINS] = print_words,
    [CONF_TOKENS] = print_words,
    [CONF_CACHE] = NULL,
    [CONF_MEMORY] = NULL,
    [CONF_PERCENT] = print_percent,
    [CONF_UPSTREAM] = NULL,
    [CONF_UPSTREAM_URL] = print_text,
    [CONF_RATE_LIMIT] = NULL,
    [CONF_RATE] = print_rate,
    [CONF_RATE_BY] = print_rate_by,
    [CONF_RATE_LIMIT_NAME] = print_text,
    [CONF_ROUTE] = NULL,
    [CONF_BATCH] = NULL,
    [CONF_SQL] = print_sql,
    [CONF_QUERY] = print_query,
    [CONF_ROUTE_CACHE] = print_route_cache,
    [CONF_PARAM] = print_params,
    [CONF_PAGE] = print_page,
    [CONF_COMBINE] = print_combine,
    [CONF_TARGET] = print_target,
    [CONF_FAN] = print_fan,
};

#define PRINTER(name)                                                                                                  \
    static void name(struct printer *p __attribute__((unused)), const struct conf_row *row __attribute__((unused)),    \
                     const void *field __attribute__((unused)), const void *target __attribute__((unused)))

/* Left out where it says nothing: what was not given and has no default. */
static bool is_given(const struct conf_row *row, const void *field, const void *target)
{
    const struct conf_route *route = target;
    const struct conf_param *param = target;
    if (row->context == CONF_IN_ROUTE && (route->from == FROM_FAN ? !conf_fan_takes(row) : row->kind == CONF_FAN))
        return false;
    bool is_min = row->offset == offsetof(struct conf_param, min);
    if (conf_row_of_sql(row) && route->from != FROM_SQL)
        return false;
    if (row->kind == CONF_TARGET)
        return route->from == FROM_UPSTREAM;
    if (row->kind == CONF_TEXT || row->kind == CONF_PATTERN || row->kind == CONF_DATABASE_URL ||
        row->kind == CONF_PATH || row->kind == CONF_RATE_LIMIT_NAME)
        return *(const char *const *)field != NULL;
    if (row->kind == CONF_TEXT_LIST || row->kind == CONF_TAG_LIST || row->kind == CONF_TAGS ||
        row->kind == CONF_ORIGINS || row->kind == CONF_TOKENS)
        return ((const struct conf_strings *)field)->count > 0;
    if (row->kind == CONF_REPLICA_POOL || row->offset == offsetof(struct conf, database.max_lag_us))
        return ((const struct conf *)target)->database.replica_url != NULL;
    if (row->kind == CONF_NETS)
        return ((const struct conf_nets *)field)->count > 0;
    if (row->kind == CONF_FLAG)
        return *(const bool *)field;
    if (row->kind == CONF_NUMBER)
        return is_min ? param->has_min : param->has_max;
    if (row->kind == CONF_COUNT && row->context == CONF_IN_PARAM)
        return *(const int64_t *)field > 0;
    if (row->kind == CONF_SQL || row->kind == CONF_QUERY)
        return (route->sql_file != NULL) == (row->kind == CONF_SQL);
    if (row->kind == CONF_ROUTE_CACHE)
        return route->method == METHOD_GET;
    if (row->context == CONF_IN_ROUTE_CACHE && row->offset == offsetof(struct conf_route, cache_ttl_us))
        return route->cache_ttl_us > 0;
    if (row->kind == CONF_PARAM)
        return route->param_count > 0;
    if (row->kind == CONF_PAGE)
        return route->page.key_count > 0;
    return printers[row->kind] != NULL;
}

/* ttl=300s tti=60s, the first one behind `before`. */
static void print_options(struct printer *p, enum conf_context context, const void *target, const char *before)
{
    for (const struct conf_row *row = conf_rows; row < conf_rows + CONF_ROW_COUNT; row++) {
        const void *field = (const char *)target + row->offset;
        if (row->context != context || !is_given(row, field, target))
            continue;
        fprintf(p->out, "%s%s%s", before, row->name, row->kind == CONF_FLAG ? "" : "=");
        before = " ";
        printers[row->kind](p, row, field, target);
    }
}

/* One directive a line. */
static void print_lines(struct printer *p, enum conf_context context, const void *target, const char *indent)
{
    for (const struct conf_row *row = conf_rows; row < conf_rows + CONF_ROW_COUNT; row++) {
        const void *field = (const char *)target + row->offset;
        if (row->context != context || !is_given(row, field, target))
            continue;
        fprintf(p->out, "%s%s ", indent, row->name);
        printers[row->kind](p, row, field, target);
        fputs(row->kind == CONF_FAN ? "\n" : ";\n", p->out);
    }
}

PRINTER(print_nothing)
{
}

PRINTER(print_duration)
{
    char buf[UNIT_TEXT_BYTES];
    fputs(unit_print_duration(*(const int64_t *)field, buf), p->out);
}

PRINTER(print_size)
{
    char buf[UNIT_TEXT_BYTES];
    fputs(unit_print_size(*(const int64_t *)field, buf), p->out);
}

PRINTER(print_number)
{
    char buf[UNIT_TEXT_BYTES];
    fputs(unit_print_number(*(const double *)field, buf), p->out);
}

PRINTER(print_int)
{
    fprintf(p->out, "%d", *(const int *)field);
}

PRINTER(print_count)
{
    fprintf(p->out, "%" PRId64, *(const int64_t *)field);
}

PRINTER(print_text)
{
    print_word(p->out, *(const char *const *)field);
}

static void print_alternative(struct printer *p, const struct conf_row *row, int index)
{
    struct slice name = conf_alternative_name(row->arguments, index);
    fwrite(name.at, 1, name.len, p->out);
}

PRINTER(print_limit)
{
    int64_t limit = *(const int64_t *)field;
    if (limit > 0)
        print_size(p, row, field, target);
    else
        fputs(limit == CONF_LIMIT_OFF ? "off" : limit == CONF_LIMIT_NONE ? "unlimited" : "auto", p->out);
}

PRINTER(print_choice)
{
    print_alternative(p, row, *(const int *)field);
}

PRINTER(print_switch)
{
    print_alternative(p, row, *(const bool *)field);
}

PRINTER(print_path)
{
    print_word(p->out, absolute(p, *(const char *const *)field));
}

PRINTER(print_log)
{
    const char *path = *(const char *const *)field;
    bool word = strcmp(path, "stderr") == 0 || strcmp(path, "off") == 0;
    print_word(p->out, word ? path : absolute(p, path));
}

PRINTER(print_certificates)
{
    const struct conf *conf = target;
    for (int i = 0; i < conf->tls.certificate_count; i++) {
        const struct conf_certificate *c = &conf->tls.certificates[i];
        fputs(i > 0 ? ";\n    certificate " : "", p->out);
        print_word(p->out, absolute(p, c->file));
        fputc(' ', p->out);
        print_word(p->out, absolute(p, c->key_file));
    }
}

PRINTER(print_nets)
{
    const struct conf_nets *nets = field;
    for (int i = 0; i < nets->count; i++)
        fprintf(p->out, "%s%s", i > 0 ? " " : "", nets->texts[i]);
}

PRINTER(print_listens)
{
    const struct conf_listens *list = field;
    for (int i = 0; i < list->count; i++) {
        const struct conf_listen *l = &list->at[i];
        if (l->path != NULL) {
            fputs(i > 0 ? " " : "", p->out);
            print_word(p->out, arena_printf(p->arena, "unix:%s", absolute(p, l->path)));
            continue;
        }
        fprintf(p->out, l->v6 ? "%s[%s]:%s" : "%s%s:%s", i > 0 ? " " : "", l->host, l->port);
    }
}

PRINTER(print_url)
{
    print_word(p->out, conf_mask_url(p->arena, *(const char *const *)field));
}

/* a,b,c as one word. */
PRINTER(print_list)
{
    const struct conf_strings *list = field;
    struct buf text = {0};
    for (int i = 0; i < list->count; i++)
        buf_printf(&text, "%s%s", i > 0 ? "," : "", list->at[i]);
    print_word(p->out, arena_str(p->arena, buf_slice(&text)));
    buf_deinit(&text);
}

PRINTER(print_words)
{
    const struct conf_strings *list = field;
    for (int i = 0; i < list->count; i++) {
        fputs(i > 0 ? " " : "", p->out);
        print_word(p->out, list->at[i]);
    }
}

PRINTER(print_pool)
{
    print_options(p, CONF_IN_POOL, target, "");
}

PRINTER(print_replica_pool)
{
    print_options(p, CONF_IN_REPLICA_POOL, target, "");
}

PRINTER(print_sql)
{
    print_word(p->out, absolute(p, ((const struct conf_route *)target)->sql_file));
}

PRINTER(print_query)
{
    print_quoted(p->out, ((const struct conf_route *)target)->sql_text);
}

PRINTER(print_route_cache)
{
    const struct conf_route *route = target;
    if (route->cached)
        print_options(p, CONF_IN_ROUTE_CACHE, route, "");
    else
        fputs("off", p->out);
}

PRINTER(print_params)
{
    const struct conf_route *route = target;
    for (int i = 0; i < route->param_count; i++) {
        fprintf(p->out, "%s%s", i > 0 ? ";\n    param " : "", route->params[i].name);
        print_options(p, CONF_IN_PARAM, &route->params[i], " ");
    }
}

PRINTER(print_combine)
{
    int keys = *(const int *)field;
    if (keys > 0)
        fprintf(p->out, "%d", keys);
    else
        fputs("off", p->out);
}

PRINTER(print_target)
{
    const struct conf_route *route = target;
    fprintf(p->out, "%s ", route->upstream_name);
    print_word(p->out, route->templates.at[0]);
}

PRINTER(print_fan)
{
    const struct conf_route *route = target;
    print_options(p, CONF_IN_FAN, route, "");
    fputs(" {\n", p->out);
    for (const struct conf_part *part = route->parts; part < route->parts + route->part_count; part++) {
        fprintf(p->out, "        %s ", part->name);
        print_word(p->out, part->target);
        fputs(part->optional ? " optional;\n" : ";\n", p->out);
    }
    fputs("    }", p->out);
}

PRINTER(print_rate)
{
    const struct conf_rate *rate = field;
    const char *unit = rate->per_us == US_PER_S ? "s" : rate->per_us == 60 * US_PER_S ? "m" : "h";
    fprintf(p->out, "%" PRId64 "/%s", rate->count, unit);
}

PRINTER(print_rate_by)
{
    const char *header = *(const char *const *)field;
    fputs(header != NULL ? "header " : "address", p->out);
    if (header != NULL)
        print_word(p->out, header);
}

PRINTER(print_percent)
{
    int percent = *(const int *)field;
    if (percent > 0)
        fprintf(p->out, "%d%%", percent);
    else
        fputs("off", p->out);
}

PRINTER(print_page)
{
    const struct conf_page *page = field;
    fputs("keyset", p->out);
    for (int i = 0; i < page->key_count; i++) {
        const struct conf_key *key = &page->keys[i];
        fputc(' ', p->out);
        print_word(p->out, arena_printf(p->arena, "%s:%s", key->column, key->descending ? "desc" : "asc"));
    }
}

static void print_block(struct printer *p, const char *name, enum conf_context context, const void *target)
{
    fprintf(p->out, "\n%s {\n", name);
    print_lines(p, context, target, "    ");
    fputs("}\n", p->out);
}

static void print_route(struct printer *p, const struct conf_route *r)
{
    bool batch = r->from == FROM_BATCH;
    fprintf(p->out, batch ? "\nbatch " : "\nroute %s ", method_names[r->method]);
    print_word(p->out, r->path);
    fputs(" {\n", p->out);
    print_lines(p, batch ? CONF_IN_BATCH : CONF_IN_ROUTE, r, "    ");
    fputs("}\n", p->out);
}

void conf_print(const struct conf *conf, FILE *out)
{
    struct printer p = {arena_create(), out};
    print_lines(&p, CONF_IN_MAIN, conf, "");
    if (conf->database.set)
        print_block(&p, "database", CONF_IN_DATABASE, conf);
    if (conf->redis.set)
        print_block(&p, "redis", CONF_IN_REDIS, conf);
    if (conf->tls.set)
        print_block(&p, "tls", CONF_IN_TLS, conf);
    if (conf->cors.set)
        print_block(&p, "cors", CONF_IN_CORS, conf);
    print_block(&p, "cache", CONF_IN_CACHE, conf);
    print_block(&p, "memory", CONF_IN_MEMORY, conf);
    for (const struct conf_upstream *u = conf->upstreams; u < conf->upstreams + conf->upstream_count; u++)
        print_block(&p, arena_printf(p.arena, "upstream %s", u->name), CONF_IN_UPSTREAM, u);
    for (const struct conf_rate_limit *l = conf->rate_limits; l < conf->rate_limits + conf->rate_limit_count; l++)
        print_block(&p, arena_printf(p.arena, "rate_limit %s", l->name), CONF_IN_RATE_LIMIT, l);
    for (const struct conf_route *r = conf->routes; r < conf->routes + conf->route_count; r++)
        print_route(&p, r);
    arena_destroy(&p.arena);
}
