#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/http_chunks.h"

/* What goes over the wire is tested by tests/it/http; here is what only the interface shows. */

static struct http_head head;
static struct http_refusal why;

static enum http_read read_head(const char *text)
{
    return http_head_read(slice_str(text), 64, 512, &head, &why);
}

static void a_head_is_read_into_slices_of_its_bytes(void **state)
{
    (void)state;
    const char *text = "POST http://h:1/a?b HTTP/1.1\r\nhOST: h\r\nX-Empty:\r\nX:\t two  words \r\n"
                       "Content-Length: 007\r\nConnection: te, Close\r\n\r\nbody";
    assert_int_equal(read_head(text), HTTP_READ_WHOLE);
    assert_true(head.method == HTTP_POST && head.minor == 1 && head.length == 7 && !head.keep_alive && !head.chunked);
    assert_true(slice_is(head.target, "/a?b"));
    assert_int_equal(head.field_count, 5);
    assert_true(slice_is(http_head_field(&head, "x", 1), "two  words"));
    assert_true(slice_is(http_head_field(&head, "x-empty", 7), "") && http_head_field(&head, "x-empty", 7).at != NULL);
    assert_null(http_head_field(&head, "Absent", 6).at);
    assert_int_equal(head.bytes, strlen(text) - 4);
}

static void a_list_goes_over_all_lines_of_its_name(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    assert_int_equal(read_head("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nAB: x\r\na: 2 , 3\r\nB: only\r\nA:\r\n\r\n"),
                     HTTP_READ_WHOLE);
    assert_true(slice_is(http_head_list(&head, "a", 1, arena), "1,2 , 3,"));
    assert_true(slice_is(http_head_list(&head, "b", 1, arena), "only"));
    assert_null(http_head_list(&head, "c", 1, arena).at);
    arena_destroy(&arena);
}

static void every_part_of_a_good_head_needs_more(void **state)
{
    (void)state;
    const char *text =
        "GET /a HTTP/1.0\r\nConnection: keep-alive\r\nA-long-name: \xe4 value of more than eight\r\n\r\n";
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(http_head_read(slice_of(text, len), 64, 512, &head, &why), HTTP_READ_MORE);
    assert_int_equal(read_head(text), HTTP_READ_WHOLE);
    assert_true(head.minor == 0 && head.keep_alive);
}

static void nothing_of_an_earlier_head_stays(void **state)
{
    (void)state;
    assert_int_equal(read_head("PUT / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
                     HTTP_READ_WHOLE);
    assert_true(head.chunked && head.expects_continue);
    assert_int_equal(read_head("GET / HTTP/1.1\r\nHost:\r\n\r\n"), HTTP_READ_WHOLE);
    assert_true(!head.chunked && !head.expects_continue && head.length == 0 && head.keep_alive);
}

static void limits_count_bytes(void **state)
{
    (void)state;
    char text[1024];
    for (int extra = -1; extra <= 1; extra++) {
        int path = 63 + extra; /* with its slash */
        snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", path, 0);
        assert_int_equal(read_head(text), extra <= 0 ? HTTP_READ_WHOLE : HTTP_READ_BAD);
        int value = 512 - (int)strlen("GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n") + extra;
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: %0*d\r\n\r\n", value, 0);
        assert_int_equal(read_head(text), extra <= 0 ? HTTP_READ_WHOLE : HTTP_READ_BAD);
    }
    assert_int_equal(why.status, 431);
    memset(text, 'x', sizeof text);
    memcpy(text, "GET /", 5);
    assert_int_equal(http_head_read(slice_of(text, 80), 64, 512, &head, &why), HTTP_READ_BAD);
    assert_int_equal(why.status, 414);
}

static void a_control_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    const char controls[] = {0, 1, 8, '\v', 31, 127};
    for (size_t at = 0; at < 24; at++)
        for (size_t i = 0; i < sizeof controls; i++) {
            char text[] = "GET / HTTP/1.1\r\nHost:\r\nX: 012345678901234567890123\r\n\r\n";
            text[strlen("GET / HTTP/1.1\r\nHost:\r\nX: ") + at] = controls[i];
            assert_int_equal(http_head_read(slice_of(text, sizeof text - 1), 64, 512, &head, &why), HTTP_READ_BAD);
            assert_int_equal(why.status, 400);
        }
}

static void a_chunked_body_is_the_same_however_it_arrives(void **state)
{
    (void)state;
    const char *text = "3;a=\"q;\\\"x\"\r\nabc\r\n00A ; b\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
    size_t len = strlen(text), end = len - 4;
    for (size_t cut = 1; cut <= len; cut++) {
        struct http_chunks chunks = {0};
        struct buf body = {0};
        size_t used, at = 0;
        enum http_read read = http_chunks_read(&chunks, slice_of(text, cut), 13, 64, &body, &used, &why);
        at += used;
        if (read == HTTP_READ_MORE)
            read = http_chunks_read(&chunks, slice_of(text + at, len - at), 13, 64, &body, &used, &why), at += used;
        assert_int_equal(read, HTTP_READ_WHOLE);
        assert_int_equal(at, end);
        assert_true(slice_is(buf_slice(&body), "abc0123456789"));
        buf_deinit(&body);
    }
}

static void a_chunked_body_has_a_limit(void **state)
{
    (void)state;
    struct http_chunks chunks = {0};
    struct buf body = {0};
    size_t used;
    assert_int_equal(http_chunks_read(&chunks, slice_str("3\r\nabc\r\n2\r\n"), 4, 64, &body, &used, &why),
                     HTTP_READ_BAD);
    assert_int_equal(why.status, 413);
    buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read_into_slices_of_its_bytes),
        cmocka_unit_test(a_list_goes_over_all_lines_of_its_name),
        cmocka_unit_test(every_part_of_a_good_head_needs_more),
        cmocka_unit_test(nothing_of_an_earlier_head_stays),
        cmocka_unit_test(limits_count_bytes),
        cmocka_unit_test(a_control_byte_is_found_wherever_it_stands),
        cmocka_unit_test(a_chunked_body_is_the_same_however_it_arrives),
        cmocka_unit_test(a_chunked_body_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
