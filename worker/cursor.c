#include "worker/cursor.h"
#include "common/base64.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* As it lies in memory, on a little-endian machine: version 1, check 8, then each value's length 2 and bytes. */
enum { VERSION = 1, HEAD_BYTES = 1 + sizeof(uint64_t), LENGTH_BYTES = sizeof(uint16_t), LENGTH_OF_NULL = 0xffff };
enum { BYTES_MAX = CURSOR_VALUES_BYTES_MAX + 1000 }; /* with all that stands between the values */

static uint64_t check_of(struct slice values, uint64_t owner)
{
    return XXH3_64bits_withSeed(values.at, values.len, owner);
}

static void put_values(struct buf *out, const struct param_value *values, int count)
{
    for (int i = 0; i < count; i++) {
        uint16_t len = values[i].null ? LENGTH_OF_NULL : (uint16_t)values[i].text.len;
        buf_add(out, &len, sizeof len);
        if (!values[i].null)
            buf_add(out, values[i].text.at, values[i].text.len);
    }
}

bool cursor_encode(struct buf *out, uint64_t owner, const struct param_value *values, int count)
{
    struct buf bytes = {0};
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += values[i].null ? 0 : values[i].text.len;
    if (total > CURSOR_VALUES_BYTES_MAX)
        return false;
    buf_reserve(&bytes, HEAD_BYTES + total + (size_t)count * LENGTH_BYTES);
    bytes.len = HEAD_BYTES;
    put_values(&bytes, values, count);
    uint64_t check = check_of(slice_of(bytes.at + HEAD_BYTES, bytes.len - HEAD_BYTES), owner);
    bytes.at[0] = VERSION;
    memcpy(bytes.at + 1, &check, sizeof check);
    base64_encode(out, buf_slice(&bytes), BASE64_URL);
    buf_deinit(&bytes);
    return true;
}

static bool take_value(struct slice *rest, struct arena *arena, struct param_value *value)
{
    uint16_t len;
    if (rest->len < sizeof len)
        return false;
    memcpy(&len, rest->at, sizeof len);
    *value = (struct param_value){.null = len == LENGTH_OF_NULL};
    size_t bytes = value->null ? 0 : len;
    if (rest->len - sizeof len < bytes)
        return false;
    if (!value->null)
        value->text = arena_copy(arena, slice_of(rest->at + sizeof len, bytes));
    *rest = slice_of(rest->at + sizeof len + bytes, rest->len - sizeof len - bytes);
    return true;
}

static bool take_values(struct slice bytes, uint64_t owner, struct arena *arena, struct param_value *values, int count)
{
    uint64_t check;
    if (bytes.len < HEAD_BYTES || bytes.len > BYTES_MAX || bytes.at[0] != VERSION)
        return false;
    struct slice rest = slice_of(bytes.at + HEAD_BYTES, bytes.len - HEAD_BYTES);
    memcpy(&check, bytes.at + 1, sizeof check);
    if (check != check_of(rest, owner))
        return false;
    for (int i = 0; i < count; i++)
        if (!take_value(&rest, arena, &values[i]))
            return false;
    return rest.len == 0;
}

bool cursor_decode(struct slice text, uint64_t owner, struct arena *arena, struct param_value *values, int count)
{
    struct buf bytes = {0};
    bool ok = text.len <= 2 * BYTES_MAX && base64_decode(&bytes, text, BASE64_URL) &&
              take_values(buf_slice(&bytes), owner, arena, values, count);
    buf_deinit(&bytes);
    return ok;
}
