#include "master/ctl/log/query.h"
#include "common/units.h"

#include <ctype.h>

enum operator{ IS, IS_NOT, LESS, LESS_OR_IS, MORE, MORE_OR_IS, LIKE };
enum node { EVERYTHING, COMPARISON, NOT, AND, OR };

struct log_query {
    enum node node;
    const struct log_query *left, *right; /* of AND and OR; NOT has a left one */
    enum line_field field;
    enum operator operator;
    struct slice text;
    double number;
};

struct parser {
    struct slice text;
    size_t at;
    int depth;
    struct arena *arena;
    struct query_error *error;
};

/* ---- words ---- */

static struct log_query *fail(struct parser *p, size_t offset, const char *what)
{
    if (p->error->what == NULL)
        *p->error = (struct query_error){offset, what};
    return NULL;
}

static bool is_at_end(const struct parser *p)
{
    return p->at == p->text.len;
}

static char next(const struct parser *p)
{
    return is_at_end(p) ? '\0' : p->text.at[p->at];
}

static void skip_blanks(struct parser *p)
{
    while (!is_at_end(p) && isspace((unsigned char)next(p)))
        p->at++;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The name that stands here, which is not taken. */
static struct slice peek_name(const struct parser *p)
{
    size_t end = p->at;
    while (end < p->text.len && is_name_byte(p->text.at[end]))
        end++;
    return slice_of(p->text.at + p->at, end - p->at);
}

static bool take_word(struct parser *p, const char *word)
{
    skip_blanks(p);
    struct slice name = peek_name(p);
    if (!slice_same(name, slice_str(word)))
        return false;
    p->at += name.len;
    return true;
}

static bool take_byte(struct parser *p, char c)
{
    skip_blanks(p);
    if (is_at_end(p) || next(p) != c)
        return false;
    p->at++;
    return true;
}

/* ---- comparisons ---- */

static bool take_operator(struct parser *p, enum operator* out)
{
    static const struct {
        const char *sign;
        enum operator operator;
    } signs[] = {{"!=", IS_NOT}, {"<=", LESS_OR_IS}, {">=", MORE_OR_IS}, {"=", IS},
                 {"<", LESS},    {">", MORE},        {"~", LIKE}};
    skip_blanks(p);
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        size_t len = strlen(signs[i].sign);
        if (p->text.len - p->at < len || memcmp(p->text.at + p->at, signs[i].sign, len) != 0)
            continue;
        p->at += len;
        *out = signs[i].operator;
        return true;
    }
    return false;
}

/* \" and \\ are a quote and a backslash. */
static bool take_quoted(struct parser *p, struct slice *out)
{
    size_t opened_at = p->at++, len = 0;
    char *text = arena_bytes(p->arena, p->text.len + 1);
    for (; !is_at_end(p) && next(p) != '"'; p->at++) {
        bool escapes = next(p) == '\\' && p->at + 1 < p->text.len && strchr("\"\\", p->text.at[p->at + 1]) != NULL;
        p->at += escapes && p->text.at[p->at + 1] != '\0';
        text[len++] = next(p);
    }
    *out = slice_of(text, len);
    if (is_at_end(p))
        return fail(p, opened_at, "this quote is not closed") != NULL;
    p->at++;
    return true;
}

static bool ends_value(char c)
{
    return isspace((unsigned char)c) || c == '(' || c == ')' || c == '"';
}

static bool take_value(struct parser *p, struct slice *out)
{
    skip_blanks(p);
    if (!is_at_end(p) && next(p) == '"')
        return take_quoted(p, out);
    size_t begin = p->at;
    while (!is_at_end(p) && !ends_value(next(p)))
        p->at++;
    *out = slice_of(p->text.at + begin, p->at - begin);
    return out->len > 0 || fail(p, begin, "a value is missing") != NULL;
}

static bool read_number(struct parser *p, size_t offset, struct log_query *q)
{
    if (q->operator== LIKE)
        return fail(p, offset, "~ compares texts, and this field is a number") != NULL;
    if (unit_parse_number(arena_str(p->arena, q->text), &q->number) != NULL)
        return fail(p, offset, "this field compares with a number") != NULL;
    return true;
}

static struct log_query *parse_comparison(struct parser *p)
{
    struct log_query *q = arena_alloc(p->arena, sizeof *q);
    struct slice name = peek_name(p);
    size_t name_at = p->at;
    q->node = COMPARISON;
    if (name.len == 0)
        return fail(p, name_at, "a field was expected");
    if (!line_field_find(name, &q->field))
        return fail(p, name_at, "lines have no field of this name");
    p->at += name.len;
    if (!take_operator(p, &q->operator))
        return fail(p, p->at, "one of = != < <= > >= ~ was expected");
    skip_blanks(p);
    size_t value_at = p->at;
    if (!take_value(p, &q->text))
        return NULL;
    if (line_field_kind(q->field) == LINE_NUMBER && !read_number(p, value_at, q))
        return NULL;
    return q;
}

/* ---- and, or, not ---- */

static struct log_query *parse_or(struct parser *p);

static struct log_query *join(struct parser *p, enum node node, const struct log_query *left,
                              const struct log_query *right)
{
    struct log_query *q = arena_alloc(p->arena, sizeof *q);
    *q = (struct log_query){.node = node, .left = left, .right = right};
    return q;
}

static struct log_query *parse_bracket(struct parser *p)
{
    size_t opened_at = p->at - 1;
    struct log_query *q = parse_or(p);
    if (q != NULL && !take_byte(p, ')'))
        return is_at_end(p) ? fail(p, opened_at, "this bracket is not closed")
                            : fail(p, p->at, "and, or or ) was expected");
    return q;
}

static struct log_query *parse_not(struct parser *p)
{
    struct log_query *q;
    if (++p->depth > QUERY_DEPTH_MAX)
        return fail(p, p->at, "this nests too deep");
    if (take_word(p, "not"))
        q = (q = parse_not(p)) != NULL ? join(p, NOT, q, NULL) : NULL;
    else if (take_byte(p, '('))
        q = parse_bracket(p);
    else
        q = parse_comparison(p);
    p->depth--;
    return q;
}

static struct log_query *parse_and(struct parser *p)
{
    struct log_query *q = parse_not(p);
    while (q != NULL && take_word(p, "and")) {
        const struct log_query *right = parse_not(p);
        q = right != NULL ? join(p, AND, q, right) : NULL;
    }
    return q;
}

static struct log_query *parse_or(struct parser *p)
{
    struct log_query *q = parse_and(p);
    while (q != NULL && take_word(p, "or")) {
        const struct log_query *right = parse_and(p);
        q = right != NULL ? join(p, OR, q, right) : NULL;
    }
    return q;
}

struct log_query *log_query_parse(struct slice text, struct arena *arena, struct query_error *error)
{
    struct parser p = {.text = text, .arena = arena, .error = error};
    *error = (struct query_error){0, NULL};
    skip_blanks(&p);
    if (is_at_end(&p))
        return join(&p, EVERYTHING, NULL, NULL);
    struct log_query *q = parse_or(&p);
    skip_blanks(&p);
    if (q != NULL && !is_at_end(&p))
        return fail(&p, p.at, "and or or was expected");
    return q;
}

/* ---- matching ---- */

/* Goes back to the last * alone: no pattern takes longer than its length times the text's. */
bool log_query_glob(struct slice pattern, struct slice text, bool questions)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && (pattern.at[p] == text.at[t] || (questions && pattern.at[p] == '?'))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

static int order_of(const struct log_query *q, const struct line_value *value)
{
    if (line_field_kind(q->field) == LINE_NUMBER)
        return (value->number > q->number) - (value->number < q->number);
    int order = memcmp(value->text.at, q->text.at, MIN(value->text.len, q->text.len));
    return order != 0 ? order : (value->text.len > q->text.len) - (value->text.len < q->text.len);
}

static bool is_same(const struct log_query *q, const struct line_value *value)
{
    return line_field_kind(q->field) == LINE_NUMBER ? order_of(q, value) == 0
                                                    : log_query_glob(q->text, value->text, false);
}

static bool compares(const struct log_query *q, const struct line_value *value)
{
    if (!value->known)
        return q->operator== IS_NOT;
    switch (q->operator) {
    case IS:
        return is_same(q, value);
    case IS_NOT:
        return !is_same(q, value);
    case LESS:
        return order_of(q, value) < 0;
    case LESS_OR_IS:
        return order_of(q, value) <= 0;
    case MORE:
        return order_of(q, value) > 0;
    case MORE_OR_IS:
        return order_of(q, value) >= 0;
    case LIKE:
        return log_query_glob(q->text, value->text, true);
    }
    return false;
}

/* Chains of `and` and `or` lean to the left, as deep as they are long. */
bool log_query_matches(const struct log_query *q, const struct line *line)
{
    switch (q->node) {
    case EVERYTHING:
        return true;
    case COMPARISON:
        return compares(q, &line->values[q->field]);
    case NOT:
        return !log_query_matches(q->left, line);
    case AND:
        return log_query_matches(q->left, line) && log_query_matches(q->right, line);
    case OR:
        return log_query_matches(q->left, line) || log_query_matches(q->right, line);
    }
    return false;
}
