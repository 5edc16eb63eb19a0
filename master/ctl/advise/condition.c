#include "master/ctl/advise/condition.h"

#include <ctype.h>
#include <string.h>

/* ---- text ---- */

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.' || c == '"' || (unsigned char)c >= 0x80;
}

/* Behind the quoted text that begins at `at`, or the end. A doubled quote ends one and begins the next. */
static size_t skip_quoted(struct slice s, size_t at)
{
    const char *end = memchr(s.at + at + 1, s.at[at], s.len - at - 1);
    return end != NULL ? (size_t)(end - s.at) + 1 : s.len;
}

/* Where `word` stands outside of quotes and parentheses, from `from` on; s.len: nowhere. */
static size_t find_word(struct slice s, const char *word, size_t from)
{
    size_t len = strlen(word);
    int depth = 0;
    for (size_t i = from; i < s.len;) {
        if (depth == 0 && len <= s.len - i && memcmp(s.at + i, word, len) == 0)
            return i;
        depth += (s.at[i] == '(') - (s.at[i] == ')');
        i = s.at[i] == '\'' || s.at[i] == '"' ? skip_quoted(s, i) : i + 1;
    }
    return s.len;
}

static struct slice part(struct slice s, size_t from, size_t to)
{
    return slice_of(s.at + from, to - from);
}

/* Behind the parenthesis that closes the one at the beginning; 0: there is none. */
static size_t end_of_group(struct slice s)
{
    if (s.len == 0 || s.at[0] != '(')
        return 0;
    size_t close = find_word(part(s, 1, s.len), ")", 0);
    return close + 1 < s.len ? close + 2 : 0;
}

/* Without the parentheses around all of it. */
static struct slice strip(struct slice s)
{
    while (s.len > 0 && end_of_group(s) == s.len)
        s = part(s, 1, s.len - 1);
    return s;
}

static bool begins(struct slice s, const char *word)
{
    return s.len >= strlen(word) && memcmp(s.at, word, strlen(word)) == 0;
}

/* ---- conditions that all must hold ---- */

/* The next of them; false: there is none. */
static bool next_conjunct(struct slice *rest, struct slice *out)
{
    if (rest->len == 0)
        return false;
    size_t end = find_word(*rest, " AND ", 0);
    *out = strip(part(*rest, 0, end));
    *rest = end < rest->len ? part(*rest, end + strlen(" AND "), rest->len) : slice_of(NULL, 0);
    return true;
}

struct comparison {
    enum compared how;
    struct slice left, right;
};

static enum compared served_by(struct slice op, struct slice right)
{
    static const char *const ranges[] = {"<", ">", "<=", ">="};
    if (slice_is(op, "="))
        return begins(right, "ALL (") ? COMPARED_NOT : COMPARED_EQUAL;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (slice_is(op, ranges[i]))
            return begins(right, "ALL (") || begins(right, "ANY (") ? COMPARED_NOT : COMPARED_RANGE;
    return COMPARED_NOT;
}

/* `left operator right`: each side that has operators of its own stands in parentheses, and so do those of OR and NOT.
 */
static struct comparison read_comparison(struct slice s)
{
    struct comparison none = {COMPARED_NOT, {NULL, 0}, {NULL, 0}};
    if (begins(s, "ROW(")) /* of columns in an order of their own */
        return none;
    for (size_t at = find_word(s, " ", 0); at < s.len; at = find_word(s, " ", at + 1)) {
        size_t end = find_word(s, " ", at + 1);
        struct slice op = part(s, at + 1, end);
        if (end == s.len || op.len == 0 || strchr("<>=~!@#%^&|`?+-*/", op.at[0]) == NULL)
            continue;
        struct slice right = part(s, end + 1, s.len);
        return (struct comparison){served_by(op, right), part(s, 0, at), right};
    }
    return none;
}

/* ---- sides ---- */

/* `alias.` from `from` on, outside of constants; s.len: nowhere. */
static size_t find_alias(struct slice s, const char *alias, size_t from)
{
    size_t len = strlen(alias);
    for (size_t i = from; i < s.len;) {
        bool here = len + 1 <= s.len - i && memcmp(s.at + i, alias, len) == 0 && s.at[i + len] == '.';
        if (here && (i == 0 || !is_name_byte(s.at[i - 1])))
            return i;
        i = s.at[i] == '\'' || s.at[i] == '"' ? skip_quoted(s, i) : i + 1;
    }
    return s.len;
}

static bool is_column(struct slice side, const struct condition_column *column)
{
    size_t group = end_of_group(side);
    if (group > 0 && group < side.len) /* (posts.title)::text */
        return begins(part(side, group, side.len), "::") && slice_is(part(side, group + 2, side.len), column->type) &&
               is_column(strip(part(side, 0, group)), column);
    size_t len = strlen(column->alias);
    return begins(side, column->alias) && len < side.len && side.at[len] == '.' &&
           slice_is(part(side, len + 1, side.len), column->name);
}

static enum compared compares(struct slice conjunct, const struct condition_column *column)
{
    struct comparison c = read_comparison(conjunct);
    bool left = is_column(strip(c.left), column), right = is_column(strip(c.right), column);
    struct slice other = left ? c.right : c.left;
    return left != right && find_alias(other, column->alias, 0) == other.len ? c.how : COMPARED_NOT;
}

enum compared condition_compares(const char *condition, const struct condition_column *column)
{
    enum compared best = COMPARED_NOT;
    struct slice rest = strip(slice_str(condition)), conjunct;
    while (*column->type != '\0' && next_conjunct(&rest, &conjunct))
        best = MAX(best, compares(conjunct, column));
    return best;
}

/* ---- expressions ---- */

/* A column alone is none. */
static bool is_expression(struct slice side, const char *alias)
{
    size_t at = find_alias(side, alias, 0), end = at + strlen(alias) + 1;
    while (at == 0 && end < side.len && is_name_byte(side.at[end]))
        end = side.at[end] == '"' ? skip_quoted(side, end) : end + 1;
    return at < side.len && (at > 0 || end < side.len);
}

static const char *without_alias(struct slice s, const char *alias, struct arena *arena)
{
    const char *text = "";
    size_t from = 0, at;
    while ((at = find_alias(s, alias, from)) < s.len) {
        text = arena_printf(arena, "%s" SLICE_FMT, text, SLICE_ARG(part(s, from, at)));
        from = at + strlen(alias) + 1;
    }
    return arena_printf(arena, "%s" SLICE_FMT, text, SLICE_ARG(part(s, from, s.len)));
}

const char *condition_expression(const char *condition, const char *alias, struct arena *arena)
{
    struct slice rest = strip(slice_str(condition)), conjunct;
    while (next_conjunct(&rest, &conjunct)) {
        struct comparison c = read_comparison(conjunct);
        struct slice left = strip(c.left), right = strip(c.right);
        bool flip = is_expression(right, alias);
        struct slice side = flip ? right : left, other = flip ? left : right;
        if (c.how != COMPARED_NOT && is_expression(side, alias) && find_alias(other, alias, 0) == other.len)
            return without_alias(side, alias, arena);
    }
    return NULL;
}
