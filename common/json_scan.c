#include "common/json_scan.h"
#include "common/digits.h"

#include <xxhash.h>

/* Beyond NAMES_FEW of an object each is compared with all others only where one with the same SEEN_BITS was seen: one
 * in thirty. Else a body would cost its length times the names of an object. */
enum { DEPTH_MAX = 64, NAMES_MAX = 1024, NAMES_FEW = 16, SEEN_BITS = 1 << 14 };

struct scan {
    const char *text;
    size_t len;
    size_t at;
    int depth;
    struct arena *arena; /* NULL: only whether it is JSON is asked, so the members of objects are none's business */
    struct json_error *error;
};

static bool fail(struct scan *s, size_t offset, const char *what)
{
    *s->error = (struct json_error){offset, what};
    return false;
}

static int peek(const struct scan *s)
{
    return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static void skip_space(struct scan *s)
{
    for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
        s->at++;
}

/* The four digits behind "\u", or -1. */
static int code_unit(const char *at, size_t left)
{
    int unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < left ? digits_hex_value(at[i]) : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool scan_unicode_escape(struct scan *s, size_t start)
{
    int unit = code_unit(s->text + s->at, s->len - s->at);
    if (unit < 0)
        return fail(s, start, "\\u needs four hexadecimal digits");
    s->at += 4;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    bool pair = unit < 0xdc00 && take(s, '\\') && take(s, 'u');
    int low = pair ? code_unit(s->text + s->at, s->len - s->at) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return fail(s, start, "half of a surrogate pair stands alone");
    s->at += 4;
    return true;
}

static bool scan_escape(struct scan *s, size_t start)
{
    int c = peek(s);
    s->at++;
    if (c == 'u')
        return scan_unicode_escape(s, start);
    if (c <= 0 || strchr("\"\\/bfnrt", c) == NULL)
        return fail(s, start, "there is no such escape");
    return true;
}

static bool scan_string(struct scan *s)
{
    size_t start = s->at;
    if (!take(s, '"'))
        return fail(s, start, "a string was expected");
    for (;;) {
        size_t here = s->at;
        int c = peek(s);
        if (c < 0)
            return fail(s, start, "the string has no end");
        s->at++;
        if (c == '"')
            return true;
        if (c < ' ')
            return fail(s, here, "a control character must be escaped");
        if (c == '\\' && !scan_escape(s, here))
            return false;
    }
}

static bool scan_digits(struct scan *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > start;
}

static bool scan_number(struct scan *s)
{
    size_t start = s->at;
    take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return fail(s, start, "a value was expected");
    if (peek(s) >= '0' && peek(s) <= '9')
        return fail(s, start, "a number does not begin with 0");
    if (take(s, '.') && !scan_digits(s))
        return fail(s, s->at, "a digit was expected");
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (!scan_digits(s))
            return fail(s, s->at, "a digit was expected");
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return fail(s, s->at, "a value was expected");
    s->at += len;
    return true;
}

static bool scan_value(struct scan *s, struct json_field *field);

static bool scan_array(struct scan *s)
{
    struct json_field element;
    s->at++;
    skip_space(s);
    if (take(s, ']'))
        return true;
    for (;;) {
        if (!scan_value(s, &element))
            return false;
        if (take(s, ']'))
            return true;
        if (!take(s, ','))
            return fail(s, s->at, "a comma or ] was expected");
    }
}

/* Names of one object, as a chain: objects in bodies are small. */
struct name {
    struct json_field field;
    struct name *next;
};

struct members {
    struct name *first, **end;
    int count;
    uint64_t seen[SEEN_BITS / 64]; /* of all names, where there are NAMES_FEW */
};

/* The seed is an address, so that nobody can choose names that look alike. */
static bool see(struct members *m, struct slice name)
{
    uint64_t bit = XXH3_64bits_withSeed(name.at, name.len, (uintptr_t)m) % SEEN_BITS, mask = UINT64_C(1) << bit % 64;
    bool seen = m->seen[bit / 64] & mask;
    m->seen[bit / 64] |= mask;
    return seen;
}

static void begin_seeing(struct members *m)
{
    memset(m->seen, 0, sizeof m->seen);
    for (const struct name *name = m->first; name != NULL; name = name->next)
        (void)see(m, name->field.name);
}

static bool has_name(struct members *m, struct slice text)
{
    const struct name *name = m->first;
    if (m->count == NAMES_FEW)
        begin_seeing(m);
    if (m->count >= NAMES_FEW && !see(m, text))
        return false;
    while (name != NULL && !slice_eq(name->field.name, text))
        name = name->next;
    return name != NULL;
}

static bool add_name(struct scan *s, struct members *m, size_t start, struct name **member_out)
{
    struct slice text = json_decode_string(slice_of(s->text + start, s->at - start), s->arena);
    if (has_name(m, text))
        return fail(s, start, "this name stands twice");
    if (++m->count > NAMES_MAX)
        return fail(s, start, "an object has at most 1024 names");
    struct name *member = *m->end = *member_out = arena_alloc(s->arena, sizeof *member);
    member->field.name = text;
    m->end = &member->next;
    return true;
}

static bool scan_member(struct scan *s, struct members *m)
{
    struct json_field field;
    struct name *member = NULL;
    size_t start = s->at;
    if (!scan_string(s) || (s->arena != NULL && !add_name(s, m, start, &member)))
        return false;
    skip_space(s);
    if (!take(s, ':'))
        return fail(s, s->at, "a colon was expected");
    if (!scan_value(s, &field))
        return false;
    if (member != NULL) {
        member->field.type = field.type;
        member->field.raw = field.raw;
    }
    return true;
}

/* The object at s; its members are chained in order. */
static bool scan_members(struct scan *s, struct members *out)
{
    out->first = NULL;
    out->end = &out->first;
    out->count = 0;
    s->at++;
    skip_space(s);
    bool more = !take(s, '}');
    while (more) {
        skip_space(s);
        if (!scan_member(s, out))
            return false;
        more = !take(s, '}');
        if (more && !take(s, ','))
            return fail(s, s->at, "a comma or } was expected");
    }
    return true;
}

static bool scan_nested(struct scan *s, bool array)
{
    struct members ignored;
    if (++s->depth > DEPTH_MAX)
        return fail(s, s->at, "nested deeper than 64");
    bool ok = array ? scan_array(s) : scan_members(s, &ignored);
    s->depth--;
    return ok;
}

static bool scan_typed(struct scan *s, enum json_type *type)
{
    switch (peek(s)) {
    case '{':
        *type = JSON_OBJECT;
        return scan_nested(s, false);
    case '[':
        *type = JSON_ARRAY;
        return scan_nested(s, true);
    case '"':
        *type = JSON_STRING;
        return scan_string(s);
    case 't':
        *type = JSON_TRUE;
        return scan_word(s, "true");
    case 'f':
        *type = JSON_FALSE;
        return scan_word(s, "false");
    case 'n':
        *type = JSON_NULL;
        return scan_word(s, "null");
    }
    *type = JSON_NUMBER;
    return scan_number(s);
}

static bool scan_value(struct scan *s, struct json_field *field)
{
    skip_space(s);
    size_t start = s->at;
    if (!scan_typed(s, &field->type))
        return false;
    field->name = slice_of("", 0);
    field->raw = slice_of(s->text + start, s->at - start);
    skip_space(s);
    return true;
}

static struct json_field *to_array(const struct name *first, int count, struct arena *arena)
{
    struct json_field *fields = arena_alloc(arena, (size_t)MAX(count, 1) * sizeof *fields);
    for (int i = 0; i < count; i++, first = first->next)
        fields[i] = first->field;
    return fields;
}

/* Up to the opener of what the text must be. */
static bool begin_text(struct scan *s, char opener, const char *what)
{
    ptrdiff_t bad = utf8_check(slice_of(s->text, s->len));
    if (bad >= 0)
        return fail(s, (size_t)bad, "this byte is not UTF-8");
    skip_space(s);
    if (s->at == s->len)
        return fail(s, 0, "the body is empty");
    return peek(s) == (unsigned char)opener || fail(s, s->at, what);
}

static bool end_text(struct scan *s, const char *what)
{
    skip_space(s);
    return s->at == s->len || fail(s, s->at, what);
}

bool json_scan_object(struct slice text, struct arena *arena, struct json_field **fields_out, int *count_out,
                      struct json_error *error_out)
{
    struct scan s = {text.at, text.len, 0, 1, arena, error_out};
    struct members members;
    if (!begin_text(&s, '{', "the body must be a JSON object") || !scan_members(&s, &members) ||
        !end_text(&s, "something stands behind the object"))
        return false;
    *count_out = members.count;
    *fields_out = to_array(members.first, members.count, arena);
    return true;
}

/* The objects of an array, as a chain. */
struct element {
    struct json_object object;
    struct element *next;
};

static bool scan_object_element(struct scan *s, struct element **element_out)
{
    struct members members;
    struct element *element = arena_alloc(s->arena, sizeof *element);
    skip_space(s);
    element->object.offset = s->at;
    if (peek(s) != '{')
        return fail(s, s->at, "an object was expected");
    if (!scan_members(s, &members))
        return false;
    element->object.field_count = members.count;
    element->object.fields = to_array(members.first, members.count, s->arena);
    skip_space(s);
    *element_out = element;
    return true;
}

static struct json_object *to_objects(const struct element *elements, int count, struct arena *arena)
{
    struct json_object *objects = arena_alloc(arena, (size_t)MAX(count, 1) * sizeof *objects);
    for (int i = 0; i < count; i++, elements = elements->next)
        objects[i] = elements->object;
    return objects;
}

bool json_scan_objects(struct slice text, int most, struct arena *arena, struct json_object **objects_out,
                       int *count_out, struct json_error *error_out)
{
    struct scan s = {text.at, text.len, 0, 2, arena, error_out};
    struct element *first = NULL, **end = &first;
    *count_out = 0;
    if (!begin_text(&s, '[', "the body must be a JSON array"))
        return false;
    s.at++;
    skip_space(&s);
    for (bool more = !take(&s, ']'); more; end = &(*end)->next) {
        if (++*count_out > most)
            return true;
        if (!scan_object_element(&s, end))
            return false;
        more = !take(&s, ']');
        if (more && !take(&s, ','))
            return fail(&s, s.at, "a comma or ] was expected");
    }
    *objects_out = to_objects(first, *count_out, arena);
    return end_text(&s, "something stands behind the array");
}

bool json_is_text(struct slice text)
{
    struct json_error ignored;
    struct json_field value;
    struct scan s = {text.at, text.len, 0, 0, NULL, &ignored};
    return utf8_check(text) < 0 && scan_value(&s, &value) && s.at == s.len;
}

int json_scan_elements(struct slice raw_array, struct arena *arena, struct json_field **elements_out)
{
    struct json_error ignored;
    struct scan s = {raw_array.at, raw_array.len, 1, 1, arena, &ignored};
    struct name *first = NULL, **end = &first;
    int count = 0;
    skip_space(&s);
    for (bool more = peek(&s) != ']'; more; more = take(&s, ',')) {
        struct name *element = arena_alloc(arena, sizeof *element);
        CHECK(scan_value(&s, &element->field));
        *end = element;
        end = &element->next;
        count++;
    }
    *elements_out = to_array(first, count, arena);
    return count;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((len == 2 ? 0xc0 : len == 3 ? 0xe0 : 0xf0) | code);
    return len;
}

/* Writes what the escape at `at` (behind its backslash) means; returns the bytes that it takes. */
static size_t decode_escape(const char *at, size_t left, char *out, size_t *n)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *letter = strchr(letters, at[0]);
    if (at[0] != 'u') {
        out[(*n)++] = letter ? meanings[letter - letters] : at[0];
        return 1;
    }
    unsigned code = (unsigned)code_unit(at + 1, left - 1);
    size_t taken = 5;
    if (code >= 0xd800 && code <= 0xdbff) {
        code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)code_unit(at + 7, left - 7) - 0xdc00);
        taken = 11;
    }
    *n += put_utf8(out + *n, code);
    return taken;
}

struct slice json_decode_string(struct slice raw, struct arena *arena)
{
    char *out = arena_bytes(arena, raw.len);
    size_t n = 0;
    for (size_t i = 1; i + 1 < raw.len; i++) {
        if (raw.at[i] == '\\')
            i += decode_escape(raw.at + i + 1, raw.len - i - 1, out, &n);
        else
            out[n++] = raw.at[i];
    }
    out[n] = '\0';
    return slice_of(out, n);
}
