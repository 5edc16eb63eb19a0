/* perfd.conf as tokens (nginx's grammar). A word ends at white space, `;` or a quote; a brace is a token only where it
 * stands alone, so `{id}` is part of a word. `#` at a token's begin starts a comment to the end of the line. 'single
 * quotes' keep every byte; in "double quotes" \" \\ and \${ are escapes, any other backslash stands for itself. Both
 * may span lines. Outside single quotes ${NAME} is the environment's value, ${NAME:-default} the default where NAME is
 * unset or empty; what comes in that way is never split or read again.
 *
 * The lexer knows one file's bytes; files, includes and what tokens mean are the parser's. */
#ifndef COMMON_CONF_LEX_H
#define COMMON_CONF_LEX_H

#include "common/conf.h"

enum conf_token_kind { CONF_WORD, CONF_STRING, CONF_SEMICOLON, CONF_OPEN, CONF_CLOSE, CONF_END };

struct conf_token {
    enum conf_token_kind kind;
    const char *text;    /* of a word or string: expanded, without quotes, in the arena; else NULL */
    struct conf_pos pos; /* its first byte; columns count characters */
    bool glued;          /* stands right behind a word or string, as in pattern="a b" */
};

struct conf_lex {
    const char *at, *end;
    struct conf_pos pos;
    struct arena *arena;
    bool behind_text; /* the last token was a word or string, and nothing came since */
};

/* text is UTF-8 without NUL (the parser checks it when it reads the file); both outlive the lexer. */
void conf_lex_init(struct conf_lex *lex, struct slice text, const char *file, struct arena *arena);
/* False: err is "file:line:column: what is wrong". After CONF_END it is CONF_END for ever. */
bool conf_lex_next(struct conf_lex *lex, struct conf_token *token_out, struct err *err) MUST_USE;

/* err = "file:line:column: " and the text. Returns false. */
bool conf_error(struct err *err, struct conf_pos pos, const char *fmt, ...) PRINTF(3, 4);

#endif
