#include "common/conf_parse.h"
#include "common/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <regex.h>

bool conf_name_ok(struct slice name)
{
    if (name.len == 0 || name.len > 63 || isdigit((unsigned char)name.at[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] != '_' && (!isalnum((unsigned char)name.at[i]) || (name.at[i] & 0x80) != 0))
            return false;
    return true;
}

static bool wrong(struct conf_parser *p, const struct conf_arg *arg, const char *what)
{
    return conf_error(p->err, arg->pos, "\"%.100s\" %s", arg->text, what);
}

static const char *print_bound(const struct conf_row *row, int64_t value, char buf[static UNIT_TEXT_BYTES])
{
    if (row->kind == CONF_DURATION)
        return unit_print_duration(value, buf);
    if (row->kind == CONF_SIZE || row->kind == CONF_LIMIT)
        return unit_print_size(value, buf);
    snprintf(buf, UNIT_TEXT_BYTES, "%" PRId64, value);
    return buf;
}

bool conf_bounds_text(const struct conf_row *row, char text[static CONF_BOUNDS_BYTES])
{
    char least[UNIT_TEXT_BYTES], most[UNIT_TEXT_BYTES];
    bool bounded = row->kind == CONF_DURATION || row->kind == CONF_SIZE || row->kind == CONF_INT ||
                   row->kind == CONF_COUNT || row->kind == CONF_AUTO || row->kind == CONF_COMBINE ||
                   row->kind == CONF_LIMIT;
    if (bounded)
        snprintf(text, CONF_BOUNDS_BYTES, "%s to %s", print_bound(row, row->min, least),
                 print_bound(row, row->max, most));
    return bounded;
}

static bool check_bounds(struct conf_parser *p, const struct conf_row *row, const struct conf_arg *arg, int64_t value)
{
    char bounds[CONF_BOUNDS_BYTES];
    if (value >= row->min && value <= row->max)
        return true;
    CHECK(conf_bounds_text(row, bounds));
    return conf_error(p->err, arg->pos, "\"%.100s\" is out of bounds: %s is %s", arg->text, row->name, bounds);
}

static bool read_number(struct conf_parser *p, const struct conf_row *row, const struct conf_arg *arg,
                        const char *(*parse)(const char *, int64_t *), int64_t *value_out)
{
    const char *bad = parse(arg->text, value_out);
    return bad ? wrong(p, arg, bad) : check_bounds(p, row, arg, *value_out);
}

bool conf_set_duration(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return read_number(p, row, &d->args[0], unit_parse_duration, field);
}

bool conf_set_size(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return read_number(p, row, &d->args[0], unit_parse_size, field);
}

bool conf_set_limit(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    static const struct {
        const char *word;
        enum conf_limit limit;
    } words[] = {{"auto", CONF_LIMIT_AUTO}, {"off", CONF_LIMIT_OFF}, {"unlimited", CONF_LIMIT_NONE}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(d->args[0].text, words[i].word) == 0 && conf_alternative(row->arguments, words[i].word) >= 0) {
            *(int64_t *)field = words[i].limit;
            return true;
        }
    return conf_set_size(p, row, field, d);
}

bool conf_set_count(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    return read_number(p, row, &d->args[0], unit_parse_int, field);
}

bool conf_set_int(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    int64_t value;
    if (!conf_set_count(p, row, &value, d))
        return false;
    *(int *)field = (int)value;
    return true;
}

bool conf_set_auto(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    if (strcmp(d->args[0].text, "auto") != 0)
        return conf_set_int(p, row, field, d);
    *(int *)field = 0;
    return true;
}

bool conf_set_number(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)row;
    const char *bad = unit_parse_number(d->args[0].text, field);
    return bad ? wrong(p, &d->args[0], bad) : true;
}

bool conf_set_text(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)p, (void)row;
    *(const char **)field = d->args[0].text;
    return true;
}

bool conf_set_pattern(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    regex_t regex;
    char why[200];
    int rc = regcomp(&regex, d->args[0].text, REG_EXTENDED | REG_NOSUB);
    if (rc != 0) {
        regerror(rc, &regex, why, sizeof why);
        return conf_error(p->err, d->args[0].pos, "\"%.100s\" is not a regular expression: %s", d->args[0].text, why);
    }
    regfree(&regex);
    return conf_set_text(p, row, field, d);
}

bool conf_set_prefix(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const char *text = d->args[0].text;
    bool ok = text[0] != '\0' && strlen(text) <= 64;
    for (const char *at = text; *at != '\0'; at++)
        ok = ok && isgraph((unsigned char)*at);
    return ok ? conf_set_text(p, row, field, d) : wrong(p, &d->args[0], "is no prefix: 1 to 64 printable bytes");
}

static int choose(struct conf_parser *p, const struct conf_row *row, const struct conf_arg *arg)
{
    int chosen = conf_alternative(row->arguments, arg->text);
    if (chosen < 0)
        conf_error(p->err, arg->pos, "\"%.40s\" is none of %s%s", arg->text, row->arguments,
                   conf_suggest(p, row->arguments, arg->text));
    return chosen;
}

bool conf_set_choice(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    int chosen = choose(p, row, &d->args[0]);
    *(int *)field = chosen;
    return chosen >= 0;
}

bool conf_set_switch(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    int chosen = choose(p, row, &d->args[0]);
    *(bool *)field = chosen == 1;
    return chosen >= 0;
}

bool conf_set_flag(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)p, (void)row, (void)d;
    *(bool *)field = true;
    return true;
}

bool conf_set_path(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const struct conf_arg *arg = &d->args[0];
    if (arg->text[0] == '\0')
        return conf_error(p->err, arg->pos, "the path of %s is empty", row->name);
    *(const char **)field = conf_resolve(p, arg->text, arg->pos.file);
    return true;
}

bool conf_set_log(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    const struct conf_arg *arg = &d->args[0];
    bool off = strcmp(arg->text, "off") == 0;
    if (strcmp(arg->text, "stdout") == 0 || (off && strstr(row->arguments, "off") == NULL))
        return conf_error(p->err, arg->pos, "\"%s\" is none of %s; a file of this name is ./%s", arg->text,
                          row->arguments, arg->text);
    if (!off && strcmp(arg->text, "stderr") != 0)
        return conf_set_path(p, row, field, d);
    *(const char **)field = arg->text;
    return true;
}

bool conf_set_text_list(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    struct conf_strings *list = field;
    const struct conf_arg *arg = &d->args[0];
    list->count = 1;
    for (const char *at = arg->text; *at != '\0'; at++)
        list->count += *at == ',';
    if (list->count > row->max)
        return conf_error(p->err, arg->pos, "%s has %d values; %d at most", row->name, list->count, (int)row->max);
    list->at = arena_alloc(p->arena, (size_t)list->count * sizeof *list->at);
    const char *at = arg->text;
    for (int i = 0; i < list->count; i++) {
        size_t len = strcspn(at, ",");
        if (len == 0)
            return conf_error(p->err, arg->pos, "a value of %s is empty: %s=%s", row->name, row->name, row->arguments);
        list->at[i] = arena_str(p->arena, slice_of(at, len));
        at += len + 1;
    }
    return true;
}

static bool check_replicas(struct conf_parser *p, const struct conf_block *block)
{
    static const char *const theirs[] = {"replica_pool", "max_lag"};
    for (size_t i = 0; i < ARRAY_LEN(theirs) && conf_seen(block, "replica_url") == NULL; i++) {
        const struct conf_directive *d = conf_seen(block, theirs[i]);
        if (d != NULL)
            return conf_error(p->err, d->pos, "%s is for replicas: it needs replica_url", d->name);
    }
    return true;
}

bool conf_set_block(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)field;
    static const enum conf_context contexts[CONF_KIND_COUNT] = {
        [CONF_DATABASE] = CONF_IN_DATABASE, [CONF_REDIS] = CONF_IN_REDIS, [CONF_TLS] = CONF_IN_TLS,
        [CONF_CORS] = CONF_IN_CORS,         [CONF_CACHE] = CONF_IN_CACHE, [CONF_MEMORY] = CONF_IN_MEMORY};
    bool database = row->kind == CONF_DATABASE, redis = row->kind == CONF_REDIS;
    struct conf_block block = {.context = contexts[row->kind], .target = p->conf};
    if (!conf_parse_block(p, &block, d))
        return false;
    if ((database || redis) && conf_seen(&block, "url") == NULL)
        return conf_error(p->err, d->pos, "\"%s\" needs a url", d->name);
    if (database && !check_replicas(p, &block))
        return false;
    if (row->kind == CONF_TLS)
        return conf_finish_tls(p, &block, d);
    if (row->kind == CONF_MEMORY)
        return conf_finish_memory(p, d);
    if (row->kind == CONF_CORS)
        return conf_finish_cors(p, &block, d);
    p->conf->database.set = p->conf->database.set || database;
    p->conf->redis.set = p->conf->redis.set || redis;
    return true;
}

/* Two numbers that contradict each other are an error; with max=auto, min is cut to what auto turns out to be. */
bool conf_set_pool(struct conf_parser *p, const struct conf_row *row, void *field, const struct conf_directive *d)
{
    (void)field;
    bool replica = row->kind == CONF_REPLICA_POOL;
    struct conf_block options = {.context = replica ? CONF_IN_REPLICA_POOL : CONF_IN_POOL, .target = p->conf};
    if (!conf_parse_options(p, &options, d, 0))
        return false;
    const struct conf_directive *min = conf_seen(&options, "min");
    int max = replica ? p->conf->database.replica_max : p->conf->database.pool_max;
    int least = replica ? p->conf->database.replica_min : p->conf->database.pool_min;
    if (min != NULL && max > 0 && least > max)
        return conf_error(p->err, min->args[0].pos, "min=%s is above max=%d", min->args[0].text, max);
    return true;
}
