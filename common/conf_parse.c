#include "common/conf_parse.h"

/* How many words a kind takes, whether a block follows, whether it may be given again. */
struct kind {
    conf_set *set;
    int least, most;
    bool block, repeats;
};

enum { MANY = 1 << 20 };

static const struct kind kinds[CONF_KIND_COUNT] = {
    [CONF_DURATION] = {conf_set_duration, 1, 1, false, false},
    [CONF_SIZE] = {conf_set_size, 1, 1, false, false},
    [CONF_INT] = {conf_set_int, 1, 1, false, false},
    [CONF_COUNT] = {conf_set_count, 1, 1, false, false},
    [CONF_AUTO] = {conf_set_auto, 1, 1, false, false},
    [CONF_NUMBER] = {conf_set_number, 1, 1, false, false},
    [CONF_TEXT] = {conf_set_text, 1, 1, false, false},
    [CONF_PATTERN] = {conf_set_pattern, 1, 1, false, false},
    [CONF_PREFIX] = {conf_set_prefix, 1, 1, false, false},
    [CONF_CHOICE] = {conf_set_choice, 1, 1, false, false},
    [CONF_SWITCH] = {conf_set_switch, 1, 1, false, false},
    [CONF_FLAG] = {conf_set_flag, 0, 0, false, false},
    [CONF_LIMIT] = {conf_set_limit, 1, 1, false, false},
    [CONF_PATH] = {conf_set_path, 1, 1, false, false},
    [CONF_LOG] = {conf_set_log, 1, 1, false, false},
    [CONF_NETS] = {conf_set_nets, 1, MANY, false, false},
    [CONF_LISTENS] = {conf_set_listens, 1, 16, false, false},
    [CONF_DATABASE_URL] = {conf_set_database_url, 1, 1, false, false},
    [CONF_REDIS_URL] = {conf_set_redis_url, 1, 1, false, false},
    [CONF_TEXT_LIST] = {conf_set_text_list, 1, 1, false, false},
    [CONF_TAG_LIST] = {conf_set_tag_list, 1, 1, false, false},
    [CONF_TAGS] = {conf_set_tags, 1, MANY, false, false},
    [CONF_INCLUDE] = {conf_set_include, 1, 1, false, true},
    [CONF_DATABASE] = {conf_set_block, 0, 0, true, false},
    [CONF_POOL] = {conf_set_pool, 1, MANY, false, false},
    [CONF_REPLICA_POOL] = {conf_set_pool, 1, MANY, false, false},
    [CONF_REDIS] = {conf_set_block, 0, 0, true, false},
    [CONF_TLS] = {conf_set_block, 0, 0, true, false},
    [CONF_CERTIFICATE] = {conf_set_certificate, 2, 2, false, true},
    [CONF_CORS] = {conf_set_block, 0, 0, true, false},
    [CONF_ORIGINS] = {conf_set_origins, 1, MANY, false, false},
    [CONF_TOKENS] = {conf_set_tokens, 1, MANY, false, false},
    [CONF_CACHE] = {conf_set_block, 0, 0, true, false},
    [CONF_MEMORY] = {conf_set_block, 0, 0, true, false},
    [CONF_PERCENT] = {conf_set_percent, 1, 1, false, false},
    [CONF_UPSTREAM] = {conf_set_upstream, 1, 1, true, true},
    [CONF_UPSTREAM_URL] = {conf_set_upstream_url, 1, 1, false, false},
    [CONF_RATE_LIMIT] = {conf_set_rate_limit, 1, 1, true, true},
    [CONF_RATE] = {conf_set_rate, 1, 1, false, false},
    [CONF_RATE_BY] = {conf_set_rate_by, 1, 2, false, false},
    [CONF_RATE_LIMIT_NAME] = {conf_set_rate_limit_name, 1, 1, false, false},
    [CONF_ROUTE] = {conf_set_route, 2, 2, true, true},
    [CONF_BATCH] = {conf_set_batch, 1, 1, true, true},
    [CONF_SQL] = {conf_set_sql, 1, 1, false, false},
    [CONF_QUERY] = {conf_set_query, 1, 1, false, false},
    [CONF_ROUTE_CACHE] = {conf_set_route_cache, 0, MANY, false, false},
    [CONF_PARAM] = {conf_set_param, 1, MANY, false, true},
    [CONF_COMBINE] = {conf_set_combine, 1, 1, false, false},
    [CONF_PAGE] = {conf_set_page, 2, MANY, false, false},
    [CONF_TARGET] = {conf_set_target, 2, 2, false, false},
    [CONF_FAN] = {conf_set_fan, 0, MANY, true, false},
};

const struct conf_directive *conf_seen(const struct conf_block *block, const char *name)
{
    const struct conf_row *row = conf_row_find(block->context, slice_str(name));
    CHECK(row != NULL);
    return block->seen[row - conf_rows];
}

const char *conf_suggest(struct conf_parser *p, const char *alternatives, const char *word)
{
    int least = MAX((int)strnlen(word, 100) / 3, 1) + 1;
    const char *best = NULL;
    for (const char *at = alternatives; at != NULL; at = strstr(at, " | "), at = at ? at + 3 : NULL) {
        const char *name = arena_str(p->arena, conf_alternative_name(at, 0));
        int distance = strcasecmp(name, word) == 0 ? 0 : conf_distance(name, word);
        if (distance < least) {
            least = distance;
            best = name;
        }
    }
    return best ? arena_printf(p->arena, "; did you mean \"%s\"?", best) : "";
}

static void add_arg(struct conf_parser *p, struct conf_directive *d, const struct conf_token *token)
{
    if ((d->count & (d->count - 1)) == 0) { /* full at each power of two */
        struct conf_arg *more = arena_alloc(p->arena, (size_t)MAX(2 * d->count, 1) * sizeof *more);
        if (d->count > 0)
            memcpy(more, d->args, (size_t)d->count * sizeof *more);
        d->args = more;
    }
    d->args[d->count++] = (struct conf_arg){token->text, token->pos, token->kind == CONF_STRING, false};
}

/* pattern="a b": the string belongs to the word that it touches. Anything else that touches is a typing mistake. */
static bool join_arg(struct conf_parser *p, struct conf_directive *d, const struct conf_token *token)
{
    struct conf_arg *last = d->count > 0 ? &d->args[d->count - 1] : NULL;
    size_t len = last ? strlen(last->text) : 0;
    if (token->kind != CONF_STRING || last == NULL || last->quoted || last->joined || len == 0 ||
        last->text[len - 1] != '=')
        return conf_error(p->err, token->pos, "white space is missing in front of this");
    last->text = arena_printf(p->arena, "%s%s", last->text, token->text);
    last->joined = true;
    return true;
}

static bool unfinished(struct conf_parser *p, const struct conf_directive *d)
{
    return conf_error(p->err, d->pos, "\"%s\" has no ; at its end", d->name);
}

/* In the arena, because conf_block.seen keeps it. */
struct conf_directive *conf_read_directive(struct conf_parser *p, const struct conf_token *first)
{
    struct conf_directive *d = arena_alloc(p->arena, sizeof *d);
    struct conf_token token;
    d->name = first->text;
    d->pos = first->pos;
    while (conf_lex_next(p->lex, &token, p->err)) {
        switch (token.kind) {
        case CONF_WORD:
        case CONF_STRING:
            if (!token.glued)
                add_arg(p, d, &token);
            else if (!join_arg(p, d, &token))
                return NULL;
            continue;
        case CONF_OPEN:
            d->block = true;
            return d;
        case CONF_SEMICOLON:
            return d;
        case CONF_CLOSE:
        case CONF_END:
            unfinished(p, d);
            return NULL;
        }
    }
    return NULL;
}

static bool unknown(struct conf_parser *p, enum conf_context context, const struct conf_directive *d)
{
    const struct conf_row *near = conf_row_near(context, d->name), *other = conf_row_elsewhere(context, d->name);
    if (other != NULL && context != CONF_IN_MAIN)
        return conf_error(p->err, d->pos, "\"%s\" does not belong into %s but into %s; is a } missing before it?",
                          d->name, conf_context_names[context], conf_context_names[other->context]);
    if (other != NULL)
        return conf_error(p->err, d->pos, "\"%s\" does not stand alone but belongs to %s", d->name,
                          conf_context_names[other->context]);
    if (near != NULL)
        return conf_error(p->err, d->pos, "there is no directive \"%s\"; did you mean \"%s\"?", d->name, near->name);
    return conf_error(p->err, d->pos, "there is no directive \"%s\"", d->name);
}

static bool lacks_block(struct conf_parser *p, const struct conf_row *row, const struct conf_directive *d)
{
    for (int i = 0; i < d->count; i++) {
        const struct conf_arg *arg = &d->args[i];
        size_t len = strlen(arg->text);
        if (!arg->quoted && len > 0 && (arg->text[0] == '{' || arg->text[len - 1] == '{'))
            return conf_error(p->err, arg->pos, "a brace stands alone: put white space around it");
    }
    return conf_error(p->err, d->pos, "\"%s\" needs a block: %s %s", d->name, d->name, row->arguments);
}

/* A word that begins a later line and is a directive's name was meant as one. In quotes it is just a word. */
static bool check_semicolon(struct conf_parser *p, const struct conf_row *row, const struct conf_directive *d)
{
    for (int i = 0; i < d->count; i++) {
        const struct conf_arg *arg = &d->args[i];
        bool begins = arg->pos.line > (i > 0 ? d->args[i - 1].pos.line : d->pos.line);
        if (begins && !arg->quoted && conf_row_find(row->context, slice_str(arg->text)) != NULL)
            return conf_error(p->err, d->pos, "\"%s\" has no ; before \"%s\" in line %d", d->name, arg->text,
                              arg->pos.line);
    }
    return true;
}

static bool check_shape(struct conf_parser *p, const struct conf_row *row, const struct conf_directive *d)
{
    const struct kind *kind = &kinds[row->kind];
    if (!check_semicolon(p, row, d))
        return false;
    if (d->block && !kind->block)
        return conf_error(p->err, d->pos, "\"%s\" has no block; is a ; missing behind it?", d->name);
    if (!d->block && kind->block)
        return lacks_block(p, row, d);
    if (d->count < kind->least)
        return conf_error(p->err, d->pos, "\"%s\" needs more: %s %s", d->name, d->name, row->arguments);
    if (d->count <= kind->most)
        return true;
    const struct conf_arg *extra = &d->args[kind->most];
    return conf_error(p->err, extra->pos, "\"%.40s\" is one word too much: %s %s", extra->text, d->name,
                      row->arguments);
}

static bool check_first(struct conf_parser *p, struct conf_block *block, const struct conf_row *row,
                        const struct conf_directive *d)
{
    const struct conf_directive *earlier = block->seen[row - conf_rows];
    if (earlier != NULL && !kinds[row->kind].repeats)
        return conf_error(p->err, d->pos, "\"%s\" is given twice; first at %s:%d:%d", d->name, earlier->pos.file,
                          earlier->pos.line, earlier->pos.column);
    block->seen[row - conf_rows] = d;
    return true;
}

static bool set(struct conf_parser *p, void *target, const struct conf_row *row, const struct conf_directive *d)
{
    return kinds[row->kind].set(p, row, (char *)target + row->offset, d);
}

bool conf_parse_block(struct conf_parser *p, struct conf_block *block, const struct conf_directive *opener)
{
    struct conf_token token;
    while (conf_lex_next(p->lex, &token, p->err)) {
        if (token.kind == CONF_END && opener == NULL)
            return true;
        if (token.kind == CONF_END)
            return conf_error(p->err, opener->pos, "the block of \"%s\" is never closed", opener->name);
        if (token.kind == CONF_CLOSE && opener != NULL)
            return true;
        if (token.kind == CONF_CLOSE)
            return conf_error(p->err, token.pos, "this } closes no block");
        if (token.kind != CONF_WORD)
            return conf_error(p->err, token.pos, "the name of a directive was expected");
        if (strpbrk(token.text, "{}") != NULL)
            return conf_error(p->err, token.pos, "a brace stands alone: put white space around it");
        const struct conf_directive *d = conf_read_directive(p, &token);
        if (d == NULL)
            return false;
        const struct conf_row *row = conf_row_find(block->context, slice_str(d->name));
        if (row == NULL)
            return unknown(p, block->context, d);
        if (!check_shape(p, row, d) || !check_first(p, block, row, d) || !set(p, block->target, row, d))
            return false;
    }
    return false;
}

static bool unknown_option(struct conf_parser *p, enum conf_context context, const struct conf_arg *arg,
                           struct slice key)
{
    char *name = arena_str(p->arena, key);
    const struct conf_row *near = conf_row_near(context, name);
    if (near == NULL)
        return conf_error(p->err, arg->pos, "\"%s\" is no option of %s", name, conf_context_names[context]);
    return conf_error(p->err, arg->pos, "\"%s\" is no option of %s; did you mean \"%s\"?", name,
                      conf_context_names[context], near->name);
}

/* KEY=VALUE as a directive of its own, so that options are read as directives are. */
static struct conf_directive *option(struct conf_parser *p, const struct conf_row *row, const struct conf_arg *arg,
                                     const char *value)
{
    struct conf_directive *d = arena_alloc(p->arena, sizeof *d);
    *d = (struct conf_directive){.name = row->name, .pos = arg->pos};
    if (value == NULL)
        return d;
    d->args = arena_alloc(p->arena, sizeof *d->args);
    d->args[0] = *arg;
    d->args[0].text = value;
    d->args[0].pos.column += (int)strlen(row->name) + 1;
    d->count = 1;
    return d;
}

bool conf_parse_options(struct conf_parser *p, struct conf_block *block, const struct conf_directive *d, int first)
{
    for (int i = first; i < d->count; i++) {
        const struct conf_arg *arg = &d->args[i];
        const char *equal = strchr(arg->text, '=');
        struct slice key = slice_of(arg->text, equal ? (size_t)(equal - arg->text) : strlen(arg->text));
        const struct conf_row *row = conf_row_find(block->context, key);
        if (row == NULL)
            return unknown_option(p, block->context, arg, key);
        if (equal == NULL && kinds[row->kind].least > 0)
            return conf_error(p->err, arg->pos, "\"%s\" needs a value: %s=%s", row->name, row->name, row->arguments);
        if (equal != NULL && kinds[row->kind].least == 0)
            return conf_error(p->err, arg->pos, "\"%s\" takes no value", row->name);
        const struct conf_directive *o = option(p, row, arg, equal ? equal + 1 : NULL);
        if (!check_first(p, block, row, o) || !set(p, block->target, row, o))
            return false;
    }
    return true;
}

void conf_apply_defaults(struct conf_parser *p, enum conf_context context, void *target)
{
    struct conf_pos pos = {p->conf->file, 0, 0};
    for (const struct conf_row *row = conf_rows; row < conf_rows + CONF_ROW_COUNT; row++) {
        if (row->context != context || row->default_text == NULL || conf_row_computed(row))
            continue;
        struct conf_arg arg = {row->default_text, pos, false, false};
        struct conf_directive d = {row->name, pos, &arg, 1, false};
        CHECK(set(p, target, row, &d)); /* the table's own values are good */
    }
}
