#include "common/conf_lex.h"
#include "common/buf.h"

#include <stdarg.h>
#include <stdlib.h>

bool conf_error(struct err *err, struct conf_pos pos, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(err, "%s:%d:%d: %s", pos.file, pos.line, pos.column, text);
}

void conf_lex_init(struct conf_lex *lex, struct slice text, const char *file, struct arena *arena)
{
    static const char bom[] = "\xef\xbb\xbf";
    bool marked = text.len >= 3 && memcmp(text.at, bom, 3) == 0;
    *lex = (struct conf_lex){text.at + (marked ? 3 : 0), text.at + text.len, {file, 1, 1}, arena, false};
}

static int peek(const struct conf_lex *lex, size_t ahead)
{
    return (size_t)(lex->end - lex->at) > ahead ? (unsigned char)lex->at[ahead] : -1;
}

static void step(struct conf_lex *lex)
{
    if (*lex->at == '\n') {
        lex->pos.line++;
        lex->pos.column = 1;
    } else if ((*lex->at & 0xc0) != 0x80) {
        lex->pos.column++; /* continuation bytes of UTF-8 belong to the character before */
    }
    lex->at++;
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name_byte(int c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static void skip_space(struct conf_lex *lex)
{
    for (int c = peek(lex, 0); is_space(c) || c == '#'; c = peek(lex, 0)) {
        lex->behind_text = false;
        if (c != '#')
            step(lex);
        else
            while (peek(lex, 0) >= 0 && peek(lex, 0) != '\n')
                step(lex);
    }
}

static bool at_reference(const struct conf_lex *lex)
{
    return peek(lex, 0) == '$' && peek(lex, 1) == '{';
}

/* ${NAME} or ${NAME:-default} at lex, its value to out. */
static bool expand(struct conf_lex *lex, struct buf *out, struct err *err)
{
    struct conf_pos start = lex->pos;
    step(lex), step(lex);
    const char *begin = lex->at;
    while (peek(lex, 0) >= 0 && peek(lex, 0) != '}')
        step(lex);
    if (peek(lex, 0) < 0)
        return conf_error(err, start, "this ${ has no }");
    struct slice inside = slice_of(begin, (size_t)(lex->at - begin));
    step(lex);

    size_t len = 0;
    while (len < inside.len && is_name_byte((unsigned char)inside.at[len], len == 0))
        len++;
    struct slice rest = slice_of(inside.at + len, inside.len - len);
    bool defaulted = rest.len >= 2 && memcmp(rest.at, ":-", 2) == 0;
    if (len == 0 || (rest.len > 0 && !defaulted))
        return conf_error(err, start, "an environment variable is written ${NAME} or ${NAME:-default}");
    const char *name = arena_str(lex->arena, slice_of(inside.at, len));
    const char *value = getenv(name);
    if (defaulted && (value == NULL || value[0] == '\0'))
        buf_add(out, rest.at + 2, rest.len - 2);
    else if (value != NULL)
        buf_adds(out, value);
    else
        return conf_error(err, start, "the environment variable %s is not set, and ${%s:-default} gives no default",
                          name, name);
    return true;
}

static bool read_word(struct conf_lex *lex, struct buf *out, struct err *err)
{
    for (int c = peek(lex, 0); c >= 0 && !is_space(c) && c != ';' && c != '"' && c != '\''; c = peek(lex, 0)) {
        if (at_reference(lex)) {
            if (!expand(lex, out, err))
                return false;
        } else {
            buf_addc(out, (char)c);
            step(lex);
        }
    }
    return true;
}

static bool is_escape(const struct conf_lex *lex)
{
    int next = peek(lex, 1);
    return next == '"' || next == '\\' || (next == '$' && peek(lex, 2) == '{');
}

static bool read_string(struct conf_lex *lex, struct buf *out, struct err *err)
{
    struct conf_pos start = lex->pos;
    int quote = peek(lex, 0);
    step(lex);
    for (int c = peek(lex, 0); c != quote; c = peek(lex, 0)) {
        if (c < 0)
            return conf_error(err, start, "this quote is never closed");
        if (quote == '"' && at_reference(lex)) {
            if (!expand(lex, out, err))
                return false;
            continue;
        }
        if (quote == '"' && c == '\\' && is_escape(lex))
            step(lex);
        buf_addc(out, *lex->at);
        step(lex);
    }
    step(lex);
    return true;
}

static bool read_text(struct conf_lex *lex, struct conf_token *token, struct err *err)
{
    struct buf text = {0};
    bool ok = token->kind == CONF_STRING ? read_string(lex, &text, err) : read_word(lex, &text, err);
    if (ok)
        token->text = arena_str(lex->arena, buf_slice(&text));
    buf_deinit(&text);
    lex->behind_text = true;
    return ok;
}

/* A brace alone: what follows ends a word too. */
static bool stands_alone(const struct conf_lex *lex)
{
    int next = peek(lex, 1);
    return !lex->behind_text && (next < 0 || is_space(next) || next == ';' || next == '"' || next == '\'');
}

bool conf_lex_next(struct conf_lex *lex, struct conf_token *token_out, struct err *err)
{
    skip_space(lex);
    int c = peek(lex, 0);
    *token_out = (struct conf_token){CONF_WORD, NULL, lex->pos, false};
    if (c < 0)
        token_out->kind = CONF_END;
    else if (c == ';')
        token_out->kind = CONF_SEMICOLON;
    else if (c == '"' || c == '\'')
        token_out->kind = CONF_STRING;
    else if (c == '{' && stands_alone(lex))
        token_out->kind = CONF_OPEN;
    else if (c == '}' && stands_alone(lex))
        token_out->kind = CONF_CLOSE;
    token_out->glued = lex->behind_text && (token_out->kind == CONF_WORD || token_out->kind == CONF_STRING);
    if (token_out->kind == CONF_WORD || token_out->kind == CONF_STRING)
        return read_text(lex, token_out, err);
    lex->behind_text = false;
    if (c >= 0)
        step(lex);
    return true;
}
