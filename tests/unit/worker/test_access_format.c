#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/json_scan.h"
#include "worker/access_format.h"

/* 2026-11-29T17:40:05.000042Z */
#define AT_US (INT64_C(1795974005) * US_PER_S + 42)

static const struct access_line whole = {.request_id = "id-1",
                                         .remote = "192.0.2.7",
                                         .method = "GET",
                                         .target = {"/a b?\"\\\x7f\n", 9},
                                         .minor = 1,
                                         .referer = {"http://x/\"", 10},
                                         .user_agent = {"curl/8 (x)\xc3", 11},
                                         .trace_id = {"0af7651916cd43dd", 16},
                                         .route = "GET /{x}",
                                         .cache = "MISS",
                                         .sqlstate = "22012",
                                         .status = 422,
                                         .cut = true,
                                         .sent_bytes = 77,
                                         .took_us = 1234,
                                         .wait_us = 5,
                                         .database_us = 600};
static const struct access_line bare = {.request_id = "id-2",
                                        .remote = "",
                                        .method = "OTHER",
                                        .target = {"*", 1},
                                        .sqlstate = "",
                                        .status = 400,
                                        .wait_us = -1,
                                        .database_us = -1};

static void is_written(void (*format)(struct buf *, const struct access_line *, int64_t),
                       const struct access_line *line, const char *expected)
{
    struct buf out = {0};
    format(&out, line, AT_US);
    buf_addc(&out, '\0');
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
}

static void json_has_what_is_known(void **state)
{
    (void)state;
    is_written(access_format_json, &whole,
               "{\"time\":\"2026-11-29T17:40:05.000042Z\",\"request_id\":\"id-1\",\"trace_id\":\"0af7651916cd43dd\","
               "\"remote\":\"192.0.2.7\",\"method\":\"GET\",\"target\":\"/a%20b?%22%5C%7F%0A\",\"status\":422,"
               "\"bytes\":77,\"cut\":true,\"duration_us\":1234,\"route\":\"GET /{x}\",\"cache\":\"MISS\",\"wait_us\":5,"
               "\"database_us\":600,\"sqlstate\":\"22012\"}\n");
    is_written(access_format_json, &bare,
               "{\"time\":\"2026-11-29T17:40:05.000042Z\",\"request_id\":\"id-2\",\"remote\":\"\",\"method\":\"OTHER\","
               "\"target\":\"*\",\"status\":400,\"bytes\":0,\"duration_us\":0}\n");
}

static void combined_begins_as_other_servers_write_it(void **state)
{
    (void)state;
    is_written(access_format_combined, &whole,
               "192.0.2.7 - - [29/Nov/2026:17:40:05 +0000] \"GET /a%20b?%22%5C%7F%0A HTTP/1.1\" 422 77 "
               "\"http://x/%22\" \"curl/8 (x)%C3\" duration_us=1234 route=\"GET /{x}\" cache=MISS wait_us=5 "
               "database_us=600 sqlstate=22012 request_id=id-1 cut\n");
    is_written(access_format_combined, &bare,
               "- - - [29/Nov/2026:17:40:05 +0000] \"OTHER * HTTP/1.0\" 400 0 \"-\" \"-\" duration_us=0 route=\"-\" "
               "cache=- wait_us=- database_us=- sqlstate=- request_id=id-2\n");
}

static void whatever_comes_is_one_line_of_good_json(void **state)
{
    (void)state;
    char target[256];
    struct arena *arena = arena_create();
    struct buf out = {0};
    struct json_field *fields;
    struct json_error error;
    int count;
    for (int i = 0; i < 256; i++)
        target[i] = (char)i;
    struct access_line line = bare;
    line.target = line.referer = line.user_agent = slice_of(target, sizeof target);
    access_format_json(&out, &line, AT_US);
    assert_true(json_scan_object(buf_slice(&out), arena, &fields, &count, &error));
    access_format_combined(&out, &line, AT_US);
    int lines = 0;
    for (size_t i = 0; i < out.len; i++) {
        lines += out.at[i] == '\n';
        assert_true(out.at[i] == '\n' || (out.at[i] >= ' ' && out.at[i] < 0x7f));
    }
    assert_int_equal(lines, 2);
    buf_deinit(&out);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_what_is_known),
        cmocka_unit_test(combined_begins_as_other_servers_write_it),
        cmocka_unit_test(whatever_comes_is_one_line_of_good_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
