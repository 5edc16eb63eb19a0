#include "sql/param.h"
#include "common/base64.h"
#include "sql/type.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *take(struct arena *arena, struct slice text, struct param_value *out)
{
    *out = (struct param_value){false, arena_copy(arena, text)};
    return NULL;
}

static const char *take_buf(struct arena *arena, struct buf *built, const char *wrong, struct param_value *out)
{
    if (wrong == NULL)
        take(arena, buf_slice(built), out);
    buf_deinit(built);
    return wrong;
}

/* ---- numbers ---- */

static size_t digits(struct slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && isdigit((unsigned char)s.at[at + n]))
        n++;
    return n;
}

/* So many are surely not above most. */
static size_t safe_digits(int64_t most)
{
    return most == INT64_MAX ? 18 : most >= INT32_MAX ? 9 : 4;
}

static const char *read_int(struct slice text, int64_t least, int64_t most, struct arena *arena,
                            struct param_value *out)
{
    bool sign = text.len > 0 && (text.at[0] == '-' || text.at[0] == '+');
    if (text.len == sign || digits(text, sign) != text.len - sign)
        return "must be an integer";
    if (!sign && text.len <= safe_digits(most) && (text.at[0] != '0' || text.len == 1))
        return take(arena, text, out); /* as it should be */
    errno = 0;
    int64_t n = strtoimax(arena_str(arena, text), NULL, 10);
    if (errno == ERANGE || n < least || n > most)
        return arena_printf(arena, "must be between %" PRId64 " and %" PRId64, least, most);
    char canonical[24];
    int len = snprintf(canonical, sizeof canonical, "%" PRId64, n);
    return take(arena, slice_of(canonical, (size_t)len), out);
}

/* -12.5e+3, .5, 5. as PostgreSQL reads them. */
static bool is_decimal(struct slice s)
{
    size_t at = s.len > 0 && (s.at[0] == '-' || s.at[0] == '+');
    size_t whole = digits(s, at), part = 0;
    at += whole;
    if (at < s.len && s.at[at] == '.') {
        part = digits(s, ++at);
        at += part;
    }
    if (whole + part == 0)
        return false;
    if (at < s.len && (s.at[at] == 'e' || s.at[at] == 'E')) {
        at++;
        at += at < s.len && (s.at[at] == '-' || s.at[at] == '+');
        size_t power = digits(s, at);
        if (power == 0 || power > 6)
            return false;
        at += power;
    }
    return at == s.len;
}

static bool is_special(struct slice s)
{
    static const char *const words[] = {"nan", "infinity", "-infinity", "inf", "-inf"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (s.len == strlen(words[i]) && strncasecmp(s.at, words[i], s.len) == 0)
            return true;
    return false;
}

static const char *read_decimal(struct slice text, bool specials, struct arena *arena, struct param_value *out)
{
    if (!is_decimal(text) && !(specials && is_special(text)))
        return "must be a number";
    return take(arena, text, out);
}

/* ---- one text ---- */

static const char *read_bool(struct slice text, struct arena *arena, struct param_value *out)
{
    static const struct {
        const char *word;
        const char *value;
    } words[] = {{"true", "t"},  {"t", "t"}, {"1", "t"}, {"yes", "t"}, {"on", "t"},
                 {"false", "f"}, {"f", "f"}, {"0", "f"}, {"no", "f"},  {"off", "f"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(text, words[i].word))
            return take(arena, slice_str(words[i].value), out);
    return "must be true or false";
}

/* Base64, as bytea is answered; PostgreSQL gets its hex form. */
static const char *read_bytes(struct slice text, struct arena *arena, struct param_value *out)
{
    struct buf bytes = {0}, hex = {0};
    bool ok = base64_decode(&bytes, text, BASE64_PADDED);
    buf_adds(&hex, "\\x");
    for (size_t i = 0; i < bytes.len && ok; i++)
        buf_printf(&hex, "%02x", (unsigned char)bytes.at[i]);
    buf_deinit(&bytes);
    return take_buf(arena, &hex, ok ? NULL : "must be base64", out);
}

/* As PostgreSQL writes it, lower case with hyphens, so that a key and its tags have one text; what else it may read
 * stays as it is. */
static const char *read_uuid(struct slice text, struct arena *arena, struct param_value *out)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    char canonical[sizeof shape];
    size_t at = 0;
    bool braces = text.len > 2 && text.at[0] == '{' && text.at[text.len - 1] == '}';
    struct slice bare = braces ? slice_of(text.at + 1, text.len - 2) : text;
    bool hyphens = bare.len == sizeof shape - 1;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        canonical[i] = '-';
        if (shape[i] == '-' && !hyphens)
            continue;
        char byte = at < bare.len ? bare.at[at++] : '\0';
        if (shape[i] == '-' ? byte != '-' : !isxdigit((unsigned char)byte))
            return take(arena, text, out);
        canonical[i] = (char)tolower((unsigned char)byte);
    }
    return take(arena, at == bare.len ? slice_of(canonical, sizeof shape - 1) : text, out);
}

static const char *check_bytes(struct slice text)
{
    if (text.len > 0 && memchr(text.at, '\0', text.len) != NULL)
        return "must not contain a NUL byte";
    return utf8_check(text) >= 0 ? "must be UTF-8" : NULL;
}

static const char *read_scalar(struct slice text, enum type_kind kind, struct arena *arena, struct param_value *out)
{
    const char *wrong = check_bytes(text);
    if (wrong != NULL)
        return wrong;
    switch (kind) {
    case TYPE_BOOL:
        return read_bool(text, arena, out);
    case TYPE_INT2:
        return read_int(text, INT16_MIN, INT16_MAX, arena, out);
    case TYPE_INT4:
        return read_int(text, INT32_MIN, INT32_MAX, arena, out);
    case TYPE_INT8:
        return read_int(text, INT64_MIN, INT64_MAX, arena, out);
    case TYPE_OID:
        return read_int(text, 0, UINT32_MAX, arena, out);
    case TYPE_FLOAT:
        return read_decimal(text, true, arena, out);
    case TYPE_NUMERIC:
        return read_decimal(text, true, arena, out);
    case TYPE_BYTES:
        return read_bytes(text, arena, out);
    case TYPE_UUID:
        return read_uuid(text, arena, out);
    case TYPE_JSON:
    case TYPE_TEXT:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
    case TYPE_OTHER:
        break;
    }
    return take(arena, text, out);
}

const char *param_from_text(struct slice text, uint32_t oid, struct arena *arena, struct param_value *out)
{
    struct type type = type_of(oid);
    /* An array's text is PostgreSQL's own form, {1,2}, which Bind reads. */
    return read_scalar(text, type.array ? TYPE_OTHER : type.kind, arena, out);
}

/* ---- arrays ---- */

/* Quoted always: then nothing in it can be taken for NULL, a brace or a comma. */
void param_put_element(struct buf *out, const struct param_value *value)
{
    if (value->null) {
        buf_adds(out, "NULL");
        return;
    }
    buf_addc(out, '"');
    for (size_t i = 0; i < value->text.len; i++) {
        if (value->text.at[i] == '"' || value->text.at[i] == '\\')
            buf_addc(out, '\\');
        buf_addc(out, value->text.at[i]);
    }
    buf_addc(out, '"');
}

const char *param_from_texts(const struct slice *texts, int count, uint32_t oid, struct arena *arena,
                             struct param_value *out)
{
    struct type type = type_of(oid);
    struct buf built = {0};
    const char *wrong = NULL;
    if (!type.array)
        return count == 1 ? param_from_text(texts[0], oid, arena, out) : "must be given once";
    if (count == 1 && texts[0].len > 0 && texts[0].at[0] == '{')
        return param_from_text(texts[0], oid, arena, out);
    buf_addc(&built, '{');
    for (int i = 0; i < count && wrong == NULL; i++) {
        struct param_value element = {0};
        wrong = read_scalar(texts[i], type.kind, arena, &element);
        if (i > 0)
            buf_addc(&built, ',');
        param_put_element(&built, &element);
    }
    buf_addc(&built, '}');
    return take_buf(arena, &built, wrong, out);
}

/* ---- JSON ---- */

static const char *json_scalar(const struct json_field *field, enum type_kind kind, struct arena *arena,
                               struct param_value *out)
{
    bool string = field->type == JSON_STRING, number = field->type == JSON_NUMBER;
    bool truth = field->type == JSON_TRUE || field->type == JSON_FALSE;
    struct slice text = string ? json_decode_string(field->raw, arena) : field->raw;
    if (field->type == JSON_NULL) {
        *out = (struct param_value){.null = true};
        return NULL;
    }
    switch (kind) {
    case TYPE_BOOL:
        return truth ? read_scalar(text, kind, arena, out) : "must be true or false";
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_OID:
        /* As strings too: JavaScript writes integers above 2^53 so. */
        return number || string ? read_scalar(text, kind, arena, out) : "must be an integer";
    case TYPE_FLOAT:
    case TYPE_NUMERIC:
        return number || string ? read_scalar(text, kind, arena, out) : "must be a number";
    case TYPE_JSON:
        return take(arena, field->raw, out);
    case TYPE_TEXT:
    case TYPE_BYTES:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        return string ? read_scalar(text, kind, arena, out) : "must be a string";
    case TYPE_UUID:
    case TYPE_OTHER:
        break;
    }
    return string || number || truth ? read_scalar(text, kind, arena, out) : "must be a string";
}

/* Arrays of arrays become PostgreSQL's dimensions; that they fit each other is PostgreSQL's to say. */
static const char *json_array(const struct json_field *field, enum type_kind kind, struct arena *arena,
                              struct buf *built)
{
    struct json_field *elements;
    int count = json_scan_elements(field->raw, arena, &elements);
    const char *wrong = NULL;
    buf_addc(built, '{');
    for (int i = 0; i < count && wrong == NULL; i++) {
        struct param_value element = {0};
        if (i > 0)
            buf_addc(built, ',');
        if (elements[i].type == JSON_ARRAY && kind != TYPE_JSON) {
            wrong = json_array(&elements[i], kind, arena, built);
            continue;
        }
        wrong = json_scalar(&elements[i], kind, arena, &element);
        if (wrong == NULL)
            param_put_element(built, &element);
        else
            wrong = arena_printf(arena, "element %d %s", i + 1, wrong);
    }
    buf_addc(built, '}');
    return wrong;
}

const char *param_from_json(const struct json_field *field, uint32_t oid, struct arena *arena, struct param_value *out)
{
    struct type type = type_of(oid);
    struct buf built = {0};
    if (!type.array || field->type == JSON_NULL)
        return json_scalar(field, type.kind, arena, out);
    if (field->type != JSON_ARRAY)
        return "must be an array";
    const char *wrong = json_array(field, type.kind, arena, &built);
    return take_buf(arena, &built, wrong, out);
}

/* ---- the route's own rules ---- */

static int64_t count_characters(struct slice s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.at[i] & 0xc0) != 0x80;
    return count;
}

static const char *check_bounds(const struct param_value *value, const struct conf_param *rule, struct arena *arena)
{
    char *end;
    double n = strtod(value->text.at, &end);
    if (end == value->text.at || *end != '\0' || n != n)
        return "must be a number";
    if (rule->has_min && rule->has_max && (n < rule->min || n > rule->max))
        return arena_printf(arena, "must be between %.15g and %.15g", rule->min, rule->max);
    if (rule->has_min && n < rule->min)
        return arena_printf(arena, "must be at least %.15g", rule->min);
    if (rule->has_max && n > rule->max)
        return arena_printf(arena, "must be at most %.15g", rule->max);
    return NULL;
}

static const char *check_enum(const struct param_value *value, const struct conf_param *rule, struct arena *arena)
{
    char *list = arena_str(arena, slice_str(rule->enum_values.at[0]));
    for (int i = 0; i < rule->enum_values.count; i++) {
        if (slice_is(value->text, rule->enum_values.at[i]))
            return NULL;
        if (i > 0)
            list = arena_printf(arena, "%s, %s", list, rule->enum_values.at[i]);
    }
    return arena_printf(arena, "must be one of %s", list);
}

/* Compiled once a rule and thread: rules live as long as the configuration, and so the process, and regexec() keeps
 * others out while it looks at a long text. */
struct pattern {
    const struct conf_param *rule;
    regex_t regex;
    struct pattern *next;
};

static pthread_once_t patterns_once = PTHREAD_ONCE_INIT;
static pthread_key_t patterns_key; /* the thread's first */

static void free_patterns(void *first)
{
    for (struct pattern *p = first, *next; p != NULL; p = next) {
        next = p->next;
        regfree(&p->regex);
        free(p);
    }
}

static void make_patterns_key(void)
{
    CHECK(pthread_key_create(&patterns_key, free_patterns) == 0);
}

static regex_t *pattern_of(const struct conf_param *rule)
{
    CHECK(pthread_once(&patterns_once, make_patterns_key) == 0);
    struct pattern *first = pthread_getspecific(patterns_key);
    for (struct pattern *p = first; p != NULL; p = p->next)
        if (p->rule == rule)
            return &p->regex;
    struct pattern *p = xmalloc(sizeof *p);
    p->rule = rule;
    p->next = first;
    CHECK(regcomp(&p->regex, rule->pattern, REG_EXTENDED | REG_NOSUB) == 0);
    CHECK(pthread_setspecific(patterns_key, p) == 0);
    return &p->regex;
}

const char *param_check(const struct param_value *value, const struct conf_param *rule, struct arena *arena)
{
    const char *wrong = NULL;
    if (rule == NULL)
        return NULL;
    if (value->null)
        return rule->required ? "is required" : NULL;
    if (rule->has_min || rule->has_max)
        wrong = check_bounds(value, rule, arena);
    if (wrong == NULL && rule->enum_values.count > 0)
        wrong = check_enum(value, rule, arena);
    if (wrong == NULL && rule->max_length > 0 && count_characters(value->text) > rule->max_length)
        wrong = arena_printf(arena, "must have at most %" PRId64 " characters", rule->max_length);
    if (wrong == NULL && rule->pattern != NULL && regexec(pattern_of(rule), value->text.at, 0, NULL, 0) != 0)
        wrong = arena_printf(arena, "must match %s", rule->pattern);
    return wrong;
}
