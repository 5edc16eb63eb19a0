#include "sql/query.h"

#include "common/buf.h"
#include "common/json_scan.h"
#include "common/template.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { PARAMS_MAX = 64, STATEMENTS_MAX = 64 };

/* The text under the pen, and what was read of it. */
struct scan {
    struct slice text;
    size_t at;
    struct arena *arena;
    struct err *err;
    struct buf out; /* the statement so far */
    int *source;    /* source[i]: where byte i of out stood */
    size_t source_cap;
    size_t start; /* of the statement, its first byte that is not white space or comment */
    bool begun;
    int depth;  /* parentheses that are open */
    bool named; /* behind AS or a dot: what comes is a name, whatever it is */
    bool sorted;
    int *params; /* of the statement */
    int param_count;
    struct query *query;
};

static void place_of(struct slice text, size_t offset, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        bool continues = ((unsigned char)text.at[i] & 0xc0) == 0x80;
        *column = text.at[i] == '\n' ? 1 : *column + !continues;
        *line += text.at[i] == '\n';
    }
}

static bool fail(struct scan *s, size_t offset, const char *what)
{
    int line, column;
    place_of(s->text, offset, &line, &column);
    return err_set(s->err, "%d:%d: %s", line, column, what);
}

static char peek(const struct scan *s, size_t ahead)
{
    return s->at + ahead < s->text.len ? s->text.at[s->at + ahead] : '\0';
}

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name(char c)
{
    return is_name_start(c) || isdigit((unsigned char)c);
}

/* ---- writing the statement ---- */

static void put(struct scan *s, const char *bytes, size_t len, size_t from, bool same)
{
    if (!s->begun && (!same || !isspace((unsigned char)*bytes))) {
        s->begun = true;
        s->start = from;
    }
    if (!s->begun)
        return;
    while (s->out.len + len > s->source_cap) {
        s->source_cap = s->source_cap ? 2 * s->source_cap : 256;
        s->source = xrealloc(s->source, s->source_cap * sizeof *s->source);
    }
    for (size_t i = 0; i < len; i++)
        s->source[s->out.len + i] = (int)(from + (same ? i : 0));
    buf_add(&s->out, bytes, len);
}

/* Copies up to `end` as it stands. */
static void copy_to(struct scan *s, size_t end)
{
    put(s, s->text.at + s->at, end - s->at, s->at, true);
    s->at = end;
}

/* ---- what is not to be touched ---- */

/* E'..' has backslash escapes, '..' has none (standard_conforming_strings); '' is a quote in both. */
static bool skip_quoted(struct scan *s, char quote, bool escapes)
{
    size_t begin = s->at, at = s->at + 1;
    for (; at < s->text.len; at++) {
        if (escapes && s->text.at[at] == '\\')
            at++;
        else if (s->text.at[at] == quote && at + 1 < s->text.len && s->text.at[at + 1] == quote)
            at++;
        else if (s->text.at[at] == quote)
            break;
    }
    if (at >= s->text.len)
        return fail(s, begin, quote == '"' ? "this quoted name is not closed" : "this string is not closed");
    copy_to(s, at + 1);
    return true;
}

/* A comment is replaced by a space, so that a statement of comments alone is none. */
static void drop_to(struct scan *s, size_t end)
{
    if (s->begun)
        put(s, " ", 1, s->at, true);
    s->at = end;
}

static bool skip_block_comment(struct scan *s)
{
    size_t at = s->at;
    int depth = 0;
    do {
        if (at + 1 >= s->text.len)
            return fail(s, s->at, "this comment is not closed");
        bool opens = s->text.at[at] == '/' && s->text.at[at + 1] == '*';
        bool closes = s->text.at[at] == '*' && s->text.at[at + 1] == '/';
        depth += opens - closes;
        at += opens || closes ? 2 : 1;
    } while (depth > 0);
    drop_to(s, at);
    return true;
}

static void skip_line_comment(struct scan *s)
{
    const char *end = memchr(s->text.at + s->at, '\n', s->text.len - s->at);
    drop_to(s, end ? (size_t)(end - s->text.at) : s->text.len);
}

/* $$..$$ or $tag$..$tag$. False with no error set: it is no dollar quote. */
static bool skip_dollar(struct scan *s, bool *failed)
{
    size_t tag = 1;
    while (is_name(peek(s, tag)) && !(tag == 1 && isdigit((unsigned char)peek(s, tag))))
        tag++;
    if (peek(s, tag) != '$')
        return false;
    tag++;
    const char *open = s->text.at + s->at;
    const char *close = memmem(open + tag, s->text.len - s->at - tag, open, tag);
    if (close == NULL)
        *failed = !fail(s, s->at, "this dollar-quoted string is not closed");
    else
        copy_to(s, (size_t)(close - s->text.at) + tag);
    return true;
}

/* ---- parameters ---- */

static int name_index(struct scan *s, struct slice name)
{
    struct query *q = s->query;
    for (int i = 0; i < q->name_count; i++)
        if (slice_is(name, q->names[i]))
            return i;
    if (q->name_count == PARAMS_MAX)
        return -1;
    q->names[q->name_count] = arena_str(s->arena, name);
    return q->name_count++;
}

static bool put_param(struct scan *s, struct slice name, size_t begin, size_t end)
{
    char text[16];
    int index = name_index(s, name), i = 0;
    if (index < 0)
        return fail(s, begin, "a query has at most 64 parameters");
    while (i < s->param_count && s->params[i] != index)
        i++;
    if (i == s->param_count)
        s->params[s->param_count++] = index;
    int len = snprintf(text, sizeof text, "$%d", i + 1);
    put(s, text, (size_t)len, begin, false);
    s->at = end;
    return true;
}

/* :name or :'name', as psql binds them; `::` is a cast, `:=` an assignment, `[1:2]` a slice. */
static bool scan_colon(struct scan *s)
{
    bool quoted = peek(s, 1) == '\'';
    size_t begin = s->at, name = s->at + 1 + quoted, end = name;
    if (peek(s, 1) == ':') {
        copy_to(s, s->at + 2);
        return true;
    }
    if (!is_name_start(peek(s, 1 + quoted))) {
        copy_to(s, s->at + 1);
        return true;
    }
    while (end < s->text.len && is_name(s->text.at[end]))
        end++;
    if (quoted && (end >= s->text.len || s->text.at[end] != '\''))
        return fail(s, begin, "after :'name a closing quote was expected");
    return put_param(s, slice_of(s->text.at + name, end - name), begin, end + quoted);
}

/* ---- statements ---- */

static bool end_statement(struct scan *s)
{
    struct query *q = s->query;
    while (s->out.len > 0 && isspace((unsigned char)s->out.at[s->out.len - 1]))
        s->out.len--;
    if (s->out.len > 0) {
        int line, column;
        if (q->statement_count == STATEMENTS_MAX)
            return fail(s, s->start, "a query has at most 64 statements");
        place_of(s->text, s->start, &line, &column);
        int *params = arena_alloc(s->arena, (size_t)MAX(s->param_count, 1) * sizeof *params);
        int *source = arena_alloc(s->arena, s->out.len * sizeof *source);
        memcpy(params, s->params, (size_t)s->param_count * sizeof *params);
        memcpy(source, s->source, s->out.len * sizeof *source);
        q->statements[q->statement_count++] = (struct query_statement){
            arena_str(s->arena, buf_slice(&s->out)), line, s->param_count, params, source, s->sorted};
    }
    s->out.len = 0;
    s->begun = s->named = s->sorted = false;
    s->depth = 0;
    s->param_count = 0;
    return true;
}

static bool is_any(struct slice word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (word.len == strlen(words[i]) && strncasecmp(word.at, words[i], word.len) == 0)
            return true;
    return false;
}

/* Copies a word whole, so that the E of E'..' is seen and digits in names are no surprise. */
static void copy_word(struct scan *s)
{
    static const char *const sorting[] = {"order", "limit", "offset", "fetch"}, *const naming[] = {"as"};
    size_t end = s->at;
    while (end < s->text.len && (is_name(s->text.at[end]) || s->text.at[end] == '$'))
        end++;
    struct slice word = slice_of(s->text.at + s->at, end - s->at);
    s->sorted |= s->depth == 0 && !s->named && is_any(word, sorting, ARRAY_LEN(sorting));
    s->named = is_any(word, naming, ARRAY_LEN(naming));
    copy_to(s, end);
}

static void copy_sign(struct scan *s)
{
    char c = s->text.at[s->at];
    s->depth += (c == '(') - (c == ')');
    if (!isspace((unsigned char)c))
        s->named = c == '.';
    copy_to(s, s->at + 1);
}

static bool scan_one(struct scan *s)
{
    char c = s->text.at[s->at];
    bool failed = false;
    if (c == '\0')
        return fail(s, s->at, "a NUL byte cannot stand in a query");
    if ((c == 'e' || c == 'E') && peek(s, 1) == '\'') {
        copy_to(s, s->at + 1);
        return skip_quoted(s, '\'', true);
    }
    if (c == '\'' || c == '"')
        return skip_quoted(s, c, false);
    if (c == '-' && peek(s, 1) == '-')
        return skip_line_comment(s), true;
    if (c == '/' && peek(s, 1) == '*')
        return skip_block_comment(s);
    if (c == '$' && isdigit((unsigned char)peek(s, 1)))
        return fail(s, s->at, "parameters have names here: write :name instead of $1");
    if (c == '$' && skip_dollar(s, &failed))
        return !failed;
    if (c == ':')
        return scan_colon(s);
    if (c == ';') {
        s->at++;
        return end_statement(s);
    }
    if (is_name_start(c))
        copy_word(s);
    else
        copy_sign(s);
    return true;
}

struct query *query_parse(struct slice text, struct arena *arena, struct err *err)
{
    struct query *q = arena_alloc(arena, sizeof *q);
    int params[PARAMS_MAX];
    struct scan s = {.text = text, .arena = arena, .err = err, .query = q, .params = params};
    q->names = arena_alloc(arena, PARAMS_MAX * sizeof *q->names);
    q->statements = arena_alloc(arena, STATEMENTS_MAX * sizeof *q->statements);
    bool ok = utf8_check(text) < 0 || fail(&s, (size_t)utf8_check(text), "this is not UTF-8");
    while (ok && s.at < text.len)
        ok = scan_one(&s);
    ok = ok && end_statement(&s);
    if (ok && q->statement_count == 0)
        ok = fail(&s, 0, "there is no statement");
    buf_deinit(&s.out);
    free(s.source);
    return ok ? q : NULL;
}

struct query *query_of_templates(const struct conf_strings *templates, struct arena *arena)
{
    struct query *q = arena_alloc(arena, sizeof *q);
    q->names = arena_alloc(arena, PARAMS_MAX * sizeof *q->names);
    for (int i = 0; i < templates->count; i++) {
        const char *at = templates->at[i];
        for (struct template_part part; template_next(&at, &part);)
            if (part.name.len > 0 && query_name_index(q, part.name) < 0 && q->name_count < PARAMS_MAX)
                q->names[q->name_count++] = arena_str(arena, part.name);
    }
    return q;
}

int query_name_index(const struct query *query, struct slice name)
{
    for (int i = 0; i < query->name_count; i++)
        if (slice_is(name, query->names[i]))
            return i;
    return -1;
}

void query_locate(struct slice source, const struct query_statement *statement, int position, int *line_out,
                  int *column_out)
{
    size_t byte = 0;
    /* PostgreSQL counts characters. */
    for (int left = position - 1; left > 0 && statement->text[byte] != '\0'; left--) {
        byte++;
        while (((unsigned char)statement->text[byte] & 0xc0) == 0x80)
            byte++;
    }
    if (position <= 0 || statement->text[byte] == '\0')
        byte = 0;
    place_of(source, (size_t)statement->source[byte], line_out, column_out);
}

bool query_is_select(const struct query_statement *statement)
{
    static const char *const words[] = {"select", "with", "values", "table"};
    const char *at = statement->text + strspn(statement->text, "( \t\r\n\f\v");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);
        if (strncasecmp(at, words[i], len) == 0 && !is_name(at[len]))
            return true;
    }
    return false;
}

uint64_t query_fingerprint(struct slice text)
{
    return XXH3_64bits(text.at, text.len);
}
