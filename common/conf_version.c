#include "common/buf.h"
#include "common/conf_parse.h"

#include <xxhash.h>

/* Every piece with its length, so that no two routes give the same bytes. */
static void add_bytes(struct buf *b, const void *at, size_t len)
{
    uint64_t prefix = len;
    buf_add(b, &prefix, sizeof prefix);
    buf_add(b, at, len);
}

static void add_text(struct buf *b, const char *text)
{
    buf_addc(b, text != NULL);
    add_bytes(b, text, text ? strlen(text) : 0);
}

static void add_int(struct buf *b, int64_t value)
{
    buf_add(b, &value, sizeof value);
}

static void add_strings(struct buf *b, const struct conf_strings *list)
{
    add_int(b, list->count);
    for (int i = 0; i < list->count; i++)
        add_text(b, list->at[i]);
}

static void add_param(struct buf *b, const struct conf_param *param)
{
    add_text(b, param->name);
    add_text(b, param->default_text);
    add_int(b, param->has_min | param->has_max << 1 | param->required << 2);
    buf_add(b, &param->min, sizeof param->min);
    buf_add(b, &param->max, sizeof param->max);
    add_strings(b, &param->enum_values);
    add_text(b, param->pattern);
    add_int(b, param->max_length);
}

static const char *masked(const struct conf *conf, const char *url)
{
    return url ? conf_mask_url(conf->arena, url) : NULL;
}

/* With the routes that answer them: a fan's answer shows what theirs are. */
static void add_parts(struct buf *b, const struct conf *conf, const struct conf_route *r)
{
    add_int(b, r->part_count);
    for (int i = 0; i < r->part_count; i++) {
        add_text(b, r->parts[i].name);
        add_int(b, r->parts[i].optional);
        add_int(b, (int64_t)conf_route_version(conf, &conf->routes[r->parts[i].route]));
    }
}

/* The database counts: after a reload that names another one, nothing of the first may be answered. Its password does
 * not: a new one must not empty the caches. Nor do timeout, slow_query, objective, errors, redis, invalidates and
 * compress: no answer that is kept shows them.
 */
uint64_t conf_route_version(const struct conf *conf, const struct conf_route *r)
{
    struct buf b = {0};
    add_text(&b, r->from == FROM_UPSTREAM ? NULL : masked(conf, conf->database.url));
    add_text(&b, r->replica ? masked(conf, conf->database.replica_url) : NULL);
    add_text(&b, r->name);
    add_int(&b, r->from);
    add_text(&b, r->sql_text);
    add_strings(&b, &r->templates);
    if (r->upstream != NULL) {
        add_text(&b, r->upstream->url);
        add_strings(&b, &r->upstream->forward);
        add_strings(&b, &r->upstream->take);
    }
    add_int(&b, r->result);
    add_int(&b, r->status);
    add_int(&b, r->bigint_string);
    add_int(&b, r->cached);
    add_int(&b, r->cache_ttl_us);
    add_int(&b, r->cache_tti_us);
    add_int(&b, r->cache_stale_us);
    add_int(&b, r->cache_stale_if_error_us);
    add_int(&b, r->cache_negative_us);
    add_strings(&b, &r->cache_tags);
    add_int(&b, r->page.key_count);
    for (int i = 0; i < r->page.key_count; i++) {
        add_text(&b, r->page.keys[i].column);
        add_int(&b, r->page.keys[i].descending);
    }
    add_int(&b, r->param_count);
    for (int i = 0; i < r->param_count; i++)
        add_param(&b, &r->params[i]);
    add_parts(&b, conf, r);
    uint64_t version = XXH3_64bits(b.at, b.len);
    buf_deinit(&b);
    return version;
}
