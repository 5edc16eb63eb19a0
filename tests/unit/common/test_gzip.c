#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/gzip.h"

/* What a consumer makes of all that it has; ended_out: nothing is missing. */
static size_t unzip(struct slice gzip, char *room, size_t size, bool *ended_out)
{
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)gzip.at;
    z.avail_in = (uInt)gzip.len;
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)size;
    int result = inflate(&z, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || result == Z_STREAM_END);
    *ended_out = result == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    return size - z.avail_out;
}

enum { BODY_BYTES = 200000 };

static char *make_text(void)
{
    char *text = malloc(BODY_BYTES);
    unsigned seed = 1;
    for (int i = 0; i < BODY_BYTES; i++)
        text[i] = (char)('a' + rand_r(&seed) % 8);
    return text;
}

static void a_body_is_the_same_afterwards(void **state)
{
    (void)state;
    static char room[BODY_BYTES], back[BODY_BYTES + 1];
    bool ended;
    char *text = make_text();
    struct gzip *gzip = gzip_create(GZIP_LEVEL_ONCE);
    for (int round = 0; round < 3; round++) {
        size_t len = BODY_BYTES / (size_t)(round + 1);
        struct slice zipped = gzip_whole(gzip, slice_of(text, len), room);
        assert_in_range(zipped.len, 1, len - len / 8);
        assert_int_equal(unzip(zipped, back, sizeof back, &ended), len);
        assert_true(ended);
        assert_memory_equal(back, text, len);
    }
    gzip_destroy(&gzip);
    free(text);
}

static void what_does_not_shrink_is_left(void **state)
{
    (void)state;
    static char noise[20000], room[sizeof noise];
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)rand_r(&seed);
    struct gzip *gzip = gzip_create(GZIP_LEVEL_ONCE);
    assert_int_equal(gzip_whole(gzip, slice_of(noise, sizeof noise), room).len, 0);
    memset(noise, 'x', sizeof noise); /* and the next one is none the worse for it */
    assert_in_range(gzip_whole(gzip, slice_of(noise, sizeof noise), room).len, 1, 200);
    gzip_destroy(&gzip);
}

static void each_piece_can_be_read_when_it_has_come(void **state)
{
    (void)state;
    static char back[BODY_BYTES + 1];
    bool ended;
    char *text = make_text();
    struct gzip *gzip = gzip_create(GZIP_LEVEL_ONCE);
    for (int body = 0; body < 2; body++) {
        struct buf out = {0};
        for (size_t at = 0, len = 1; at < BODY_BYTES; at += len, len = 3 * len + 1) {
            len = MIN(len, BODY_BYTES - at);
            gzip_add(gzip, slice_of(text + at, len), false, &out);
            assert_int_equal(unzip(buf_slice(&out), back, sizeof back, &ended), at + len);
            assert_false(ended);
        }
        gzip_add(gzip, slice_of("", 0), true, &out);
        assert_int_equal(unzip(buf_slice(&out), back, sizeof back, &ended), BODY_BYTES);
        assert_true(ended);
        assert_memory_equal(back, text, BODY_BYTES);
        buf_deinit(&out);
    }
    gzip_destroy(&gzip);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_the_same_afterwards),
        cmocka_unit_test(what_does_not_shrink_is_left),
        cmocka_unit_test(each_piece_can_be_read_when_it_has_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
