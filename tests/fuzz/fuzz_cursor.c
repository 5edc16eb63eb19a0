/* worker/cursor.h: a cursor as a stranger makes it up. The first byte of the input says how many values there are and
 * whether the rest is a cursor's text, or what stands behind a check that is right, since chance never finds that. What
 * is accepted is what cursor_encode() makes of its values. */
#include "common/base64.h"
#include "tests/fuzz/fuzz.h"
#include "worker/cursor.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { VALUES_MAX = 4, OWNER = 99 };

/* The same cursor with a check that is right. */
static void seal(struct slice values, struct buf *text)
{
    struct buf bytes = {0};
    uint64_t check = XXH3_64bits_withSeed(values.at, values.len, OWNER);
    buf_addc(&bytes, 1);
    buf_add(&bytes, &check, sizeof check);
    buf_add(&bytes, values.at, values.len);
    base64_encode(text, buf_slice(&bytes), BASE64_URL);
    buf_deinit(&bytes);
}

static void check(struct slice text, int count)
{
    struct arena *arena = arena_create();
    struct param_value values[VALUES_MAX];
    struct buf again = {0};
    if (cursor_decode(text, OWNER, arena, values, count)) {
        for (int i = 0; i < count; i++)
            CHECK(values[i].null || values[i].text.at[values[i].text.len] == '\0');
        if (cursor_encode(&again, OWNER, values, count))
            CHECK(slice_eq(text, buf_slice(&again)));
    }
    buf_deinit(&again);
    arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_of((const char *)data + 1, size - 1);
    int count = 1 + data[0] % VALUES_MAX;
    struct buf text = {0};
    if (data[0] & 0x80)
        buf_add(&text, rest.at, rest.len);
    else
        seal(rest, &text);
    check(buf_slice(&text), count);
    buf_deinit(&text);
    return 0;
}
