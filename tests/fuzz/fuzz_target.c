/* worker/target.h: a request target. What is accepted is what a second, plain decoder reads, within its bounds; written
 * out again with every byte percent-encoded, it is the same target. */
#include "common/buf.h"
#include "tests/fuzz/fuzz.h"
#include "worker/target.h"

#include <stdlib.h>

static size_t check_part(struct slice part)
{
    CHECK(part.at != NULL && memchr(part.at, '\0', part.len) == NULL);
    CHECK(is_utf8(part));
    return part.len;
}

/* It is / then. */
static bool path_is_empty(struct slice raw)
{
    return raw.len == 0 || raw.at[0] == '?';
}

static void check_parts(const struct target *t, struct slice raw)
{
    size_t decoded = 0;
    CHECK(t->segment_count >= 1 && t->segment_count <= TARGET_SEGMENTS_MAX);
    CHECK(t->pair_count >= 0 && t->pair_count <= TARGET_PAIRS_MAX);
    for (int i = 0; i < t->segment_count; i++)
        decoded += 1 + check_part(t->segments[i]); /* and its slash */
    for (int i = 0; i < t->pair_count; i++)
        decoded += 1 + check_part(t->pairs[i].name) + check_part(t->pairs[i].value); /* and its ? or & */
    CHECK(decoded <= raw.len + path_is_empty(raw));
}

static void check_same(const struct target *a, const struct target *b)
{
    CHECK(a->segment_count == b->segment_count && a->pair_count == b->pair_count);
    for (int i = 0; i < a->segment_count; i++)
        CHECK(slice_eq(a->segments[i], b->segments[i]));
    for (int i = 0; i < a->pair_count; i++)
        CHECK(slice_eq(a->pairs[i].name, b->pairs[i].name) && slice_eq(a->pairs[i].value, b->pairs[i].value));
}

static void add_encoded(struct buf *out, struct slice part)
{
    for (size_t i = 0; i < part.len; i++)
        buf_printf(out, "%%%02x", (unsigned char)part.at[i]);
}

static void encode(const struct target *t, struct buf *out)
{
    for (int i = 0; i < t->segment_count; i++) {
        buf_addc(out, '/');
        add_encoded(out, t->segments[i]);
    }
    for (int i = 0; i < t->pair_count; i++) {
        buf_addc(out, i == 0 ? '?' : '&');
        add_encoded(out, t->pairs[i].name);
        buf_addc(out, '=');
        add_encoded(out, t->pairs[i].value);
    }
}

/* Decodes a part that was accepted, so every % has its digits. */
static void check_decoded(struct slice part, struct slice raw, bool plus_is_space)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++, n++) {
        char c = raw.at[i];
        if (c == '%') {
            char digits[3] = {raw.at[i + 1], raw.at[i + 2], '\0'};
            c = (char)strtol(digits, NULL, 16);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        CHECK(n < part.len && part.at[n] == c);
    }
    CHECK(n == part.len);
}

/* Up to the first of the separators, which *rest keeps. */
static struct slice cut(struct slice *rest, const char *separators)
{
    size_t len = 0;
    while (len < rest->len && strchr(separators, rest->at[len]) == NULL)
        len++;
    struct slice part = slice_of(rest->at, len);
    *rest = slice_of(rest->at + len, rest->len - len);
    return part;
}

static bool skip(struct slice *rest, char c)
{
    bool there = rest->len > 0 && rest->at[0] == c;
    *rest = slice_of(rest->at + there, rest->len - there);
    return there;
}

/* The target has these parts, and no others. */
static void check_against(const struct target *t, struct slice raw)
{
    struct slice rest = raw;
    int segments = 0, pairs = 0;
    if (path_is_empty(raw))
        segments++;
    else
        for (; segments < t->segment_count && skip(&rest, '/'); segments++)
            check_decoded(t->segments[segments], cut(&rest, "/?"), false);
    CHECK(segments == t->segment_count && (rest.len == 0 || rest.at[0] == '?'));
    skip(&rest, '?');
    while (rest.len > 0) {
        struct slice pair = cut(&rest, "&"), name = cut(&pair, "=");
        bool empty = name.len + pair.len == 0;
        skip(&pair, '=');
        skip(&rest, '&');
        if (empty)
            continue;
        CHECK(pairs < t->pair_count);
        check_decoded(t->pairs[pairs].name, name, true);
        check_decoded(t->pairs[pairs++].value, pair, true);
    }
    CHECK(pairs == t->pair_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct slice raw = arena_copy(arena, slice_of((const char *)data, size));
    struct slice exact = slice_of((const char *)data, size); /* the sanitizer sees a read behind its end */
    struct target first, again, encoded;
    const char *wrong = target_parse(exact, arena, &first);
    CHECK(wrong == target_parse(raw, arena, &again));
    if (wrong == NULL) {
        struct buf text = {0};
        check_parts(&first, raw);
        check_same(&first, &again);
        check_against(&first, raw);
        encode(&first, &text);
        CHECK(target_parse(buf_slice(&text), arena, &encoded) == NULL);
        check_same(&first, &encoded);
        buf_deinit(&text);
    } else {
        CHECK(wrong[0] != '\0');
    }
    arena_destroy(&arena);
    return 0;
}
