#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/conf_lex.h"

static void add_token(struct buf *out, const struct conf_token *token)
{
    if (out->len > 0)
        buf_addc(out, token->glued ? '+' : ' ');
    switch (token->kind) {
    case CONF_WORD:
        buf_printf(out, "%s", token->text);
        break;
    case CONF_STRING:
        buf_printf(out, "<%s>", token->text);
        break;
    case CONF_SEMICOLON:
        buf_addc(out, ';');
        break;
    case CONF_OPEN:
        buf_adds(out, "OPEN");
        break;
    case CONF_CLOSE:
        buf_adds(out, "CLOSE");
        break;
    case CONF_END:
        buf_adds(out, "END");
        break;
    }
}

/* Every token of text, written one behind the other ("+" where they touch), or the error. The caller frees it. */
static char *tokens_of(const char *text)
{
    struct arena *arena = arena_create();
    struct buf out = {0};
    struct err err;
    struct conf_lex lex;
    struct conf_token token = {.kind = CONF_SEMICOLON};
    conf_lex_init(&lex, slice_str(text), "f", arena);
    while (token.kind != CONF_END) {
        if (!conf_lex_next(&lex, &token, &err)) {
            out.len = 0;
            buf_adds(&out, err.text);
            break;
        }
        add_token(&out, &token);
    }
    buf_addc(&out, '\0');
    arena_destroy(&arena);
    return out.at;
}

struct example {
    const char *text, *tokens;
};

static void assert_examples(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *tokens = tokens_of(examples[i].text);
        assert_string_equal(tokens, examples[i].tokens);
        free(tokens);
    }
}

static void words_braces_and_comments(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"", "END"},
        {" \t\r\n# all of it; { }", "END"},
        {"a b;c", "a b ; c END"},
        {"route GET /a/{id} { x; }", "route GET /a/{id} OPEN x ; CLOSE END"},
        {"a{ }b {}", "a{ }b {} END"},
        {"{;}", "OPEN ; CLOSE END"},
        {"a#b #c\nd", "a#b d END"},
        {"\xef\xbb\xbf"
         "a;",
         "a ; END"},
        {"p=^[^@[:space:]]+$ q=\\d{2}", "p=^[^@[:space:]]+$ q=\\d{2} END"},
    };
    assert_examples(examples, ARRAY_LEN(examples));
}

static void strings_and_escapes(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"'a;{ }#\"\\' b", "<a;{ }#\"\\> b END"},
        {"\"say \\\"hi\\\" \\\\ \\d \\$ \\${X}\"", "<say \"hi\" \\ \\d \\$ ${X}> END"},
        {"\"\"", "<> END"},
        {"'two\nlines'", "<two\nlines> END"},
        {"p=\"a b\" 'c''d'x", "p=+<a b> <c>+<d>+x END"},
        {"\"x\"{ \"y\";{ ", "<x>+{ <y> ; OPEN END"},
    };
    assert_examples(examples, ARRAY_LEN(examples));
}

static void the_environment_is_expanded_outside_single_quotes(void **state)
{
    (void)state;
    setenv("LEX_SET", "a b;${LEX_SET}", 1);
    setenv("LEX_EMPTY", "", 1);
    unsetenv("LEX_UNSET");
    static const struct example examples[] = {
        {"x${LEX_SET}y", "xa b;${LEX_SET}y END"},
        {"\"${LEX_SET}\" '${LEX_SET}'", "<a b;${LEX_SET}> <${LEX_SET}> END"},
        {"${LEX_UNSET:-a b}${LEX_EMPTY:-;} ${LEX_UNSET:-}", "a b;  END"},
        {"[${LEX_EMPTY}]", "[] END"},
        {"$$ $x ^a$", "$$ $x ^a$ END"},
        {"\"$$${LEX_UNSET:-1}$$\"", "<$$1$$> END"},
        {"a\n \"b${LEX_UNSET}\"",
         "f:2:4: the environment variable LEX_UNSET is not set, and ${LEX_UNSET:-default} gives "
         "no default"},
        {"a${LEX_SET", "f:1:2: this ${ has no }"},
        {"${}", "f:1:1: an environment variable is written ${NAME} or ${NAME:-default}"},
        {"${1}", "f:1:1: an environment variable is written ${NAME} or ${NAME:-default}"},
        {"${LEX_SET-x}", "f:1:1: an environment variable is written ${NAME} or ${NAME:-default}"},
    };
    assert_examples(examples, ARRAY_LEN(examples));
}

static void an_open_quote_is_named_where_it_began(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a;\n b 'c;\n\n", "f:2:4: this quote is never closed"},
        {"\"\\\"", "f:1:1: this quote is never closed"},
        {"\"\\", "f:1:1: this quote is never closed"},
        {"\xc3\xa4\xe2\x82\xac 'c", "f:1:4: this quote is never closed"}, /* columns are characters */
    };
    assert_examples(examples, ARRAY_LEN(examples));
}

static void tokens_know_where_they_stand(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    struct err err;
    struct conf_lex lex;
    struct conf_token token;
    static const int places[][2] = {{1, 1}, {2, 3}, {3, 3}, {3, 4}, {3, 5}, {3, 5}};
    static const enum conf_token_kind kinds[] = {CONF_WORD, CONF_STRING, CONF_OPEN, CONF_SEMICOLON, CONF_END, CONF_END};
    conf_lex_init(&lex, slice_str("a\n  'b\n' {;"), "f", arena);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        assert_true(conf_lex_next(&lex, &token, &err));
        assert_int_equal(token.kind, kinds[i]); /* the end is the end for ever */
        assert_int_equal(token.pos.line, places[i][0]);
        assert_int_equal(token.pos.column, places[i][1]);
        assert_string_equal(token.pos.file, "f");
    }
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_braces_and_comments),
        cmocka_unit_test(strings_and_escapes),
        cmocka_unit_test(the_environment_is_expanded_outside_single_quotes),
        cmocka_unit_test(an_open_quote_is_named_where_it_began),
        cmocka_unit_test(tokens_know_where_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
