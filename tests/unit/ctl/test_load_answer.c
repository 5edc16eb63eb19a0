#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/load/answer.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define BEHIND "HTTP/1.1 "

enum end { WHOLE, OPEN, BAD, UNTIL_CLOSE };

static const struct {
    const char *bytes;
    enum end end;
    int status;
    bool keep_alive, head;
} cases[] = {
    {OK "Content-Length: 2\r\n\r\n{}", WHOLE, 200, true, false},
    {OK "content-length:2\r\n\r\n{", OPEN, 200, true, false},
    {OK "Content-Length: 0\r\n\r\n", WHOLE, 200, true, false},
    {OK "Content-Length: 2\r\nConnection: x, Close\r\n\r\n{}", WHOLE, 200, false, false},
    {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", WHOLE, 200, true, false},
    {OK "Content-Length: 5\r\n\r\n", WHOLE, 200, true, true},
    {"HTTP/1.1 204 No Content\r\n\r\n", WHOLE, 204, true, false},
    {"HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n", WHOLE, 304, true, false},
    {"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", WHOLE, 503, true, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", WHOLE, 200, false, false},
    {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", WHOLE, 200, true, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA \r\n0123456789\r\n0\r\nT: x\r\n\r\n", WHOLE, 200, true,
     false},
    {OK "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n", OPEN, 200, true, false},
    {OK "Date: x\r\n\r\nuntil it is closed", UNTIL_CLOSE, 200, false, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhellox\r\n0\r\n\r\n", BAD, 200, false, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n\r\n", BAD, 200, false, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n5x\r\n", BAD, 200, false, false},
    {OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", BAD, 200, false, false},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", BAD, 200, false, false},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", BAD, 200, false, false},
    {OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\n", BAD, 200, false, false},
    {OK "Content-Length: 2, 2\r\n\r\n", BAD, 200, false, false},
    {OK "Content-Length: -1\r\n\r\n", BAD, 200, false, false},
    {OK "Content-Length:\r\n\r\n", BAD, 200, false, false},
    {OK "Content-Length : 2\r\n\r\n", BAD, 200, false, false},
    {OK " folded\r\n\r\n", BAD, 200, false, false},
    {OK "X: y\n\r\n", BAD, 200, false, false},
    {"HTTP/1.1 101 Switching\r\n\r\n", BAD, 101, false, false},
    {"HTTP/1.1 20 OK\r\n\r\n", BAD, 0, false, false},
    {"HTTP/2 200 OK\r\n\r\n", BAD, 0, false, false},
    {"{}\r\n\r\n", BAD, 0, false, false},
};

static enum end end_of(struct answer *a)
{
    if (a->state == ANSWER_WHOLE)
        return WHOLE;
    if (a->state == ANSWER_MALFORMED)
        return BAD;
    return a->state == ANSWER_TO_THE_END && answer_end(a) ? UNTIL_CLOSE : OPEN;
}

/* In pieces of so many bytes. */
static void read_pieces(struct answer *a, const char *bytes, size_t piece)
{
    size_t len = strlen(bytes);
    for (size_t at = 0; at < len && a->state < ANSWER_WHOLE; at += piece)
        (void)answer_read(a, bytes + at, MIN(piece, len - at));
}

static void answers_are_understood_however_they_are_cut(void **state)
{
    static struct answer a;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t piece = 1; piece <= strlen(cases[i].bytes); piece++) {
            answer_reset(&a, cases[i].head);
            read_pieces(&a, cases[i].bytes, piece);
            enum end end = end_of(&a);
            if (end != cases[i].end || (end != BAD && a.status != cases[i].status) ||
                ((end == WHOLE || end == UNTIL_CLOSE) && a.keep_alive != cases[i].keep_alive))
                fail_msg("case %zu in pieces of %zu: end %d, status %d", i, piece, (int)end, a.status);
        }
}

static void nothing_is_taken_beyond_the_end(void **state)
{
    static const char two[] = OK "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n";
    static struct answer a;
    (void)state;
    answer_reset(&a, false);
    assert_int_equal(answer_read(&a, two, sizeof two - 1), sizeof OK - 1 + 21 + 2);
    assert_int_equal(a.state, ANSWER_WHOLE);
    assert_int_equal(answer_read(&a, "x", 1), 0);
}

static void a_head_without_end_is_malformed(void **state)
{
    static struct answer a;
    static char line[ANSWER_LINE_BYTES + 10];
    (void)state;
    memset(line, 'x', sizeof line);
    answer_reset(&a, false);
    read_pieces(&a, OK, 1000);
    (void)answer_read(&a, line, sizeof line);
    assert_int_equal(a.state, ANSWER_MALFORMED);
    answer_reset(&a, false);
    read_pieces(&a, OK, 1000);
    for (int i = 0; i < ANSWER_LINES_MAX; i++)
        read_pieces(&a, "X: y\r\n", 1000);
    assert_int_equal(a.state, ANSWER_MALFORMED);
}

static void a_body_may_have_many_chunks(void **state)
{
    static struct answer a;
    (void)state;
    answer_reset(&a, false);
    read_pieces(&a, OK "Transfer-Encoding: chunked\r\n\r\n", 1000);
    for (int i = 0; i < 2 * ANSWER_LINES_MAX; i++)
        read_pieces(&a, "2\r\n{}\r\n", 1000);
    read_pieces(&a, "0\r\n\r\n", 1000);
    assert_int_equal(a.state, ANSWER_WHOLE);
}

static void an_answer_that_stops_is_not_whole(void **state)
{
    static struct answer a;
    (void)state;
    answer_reset(&a, false);
    assert_false(answer_end(&a));
    read_pieces(&a, OK "Content-Length: 2\r\n\r\n{", 100);
    assert_true(a.begun);
    assert_false(answer_end(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_understood_however_they_are_cut),
        cmocka_unit_test(nothing_is_taken_beyond_the_end),
        cmocka_unit_test(a_head_without_end_is_malformed),
        cmocka_unit_test(a_body_may_have_many_chunks),
        cmocka_unit_test(an_answer_that_stops_is_not_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
