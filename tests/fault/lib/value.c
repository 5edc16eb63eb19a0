#include "tests/fault/lib/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { GROUPS = 8, HEADS = 5, OWN_HEAD_SHARE = 7, ABSENCE_SHARE = 11, WORD = 8, WORDS_ALIKE = 8 };
enum { TAG_FIRST = 100, GROUP_FIRST = 90000 };

uint64_t value_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct slice value_key(int key, char room[static VALUE_KEY_BYTES])
{
    return slice_of(room, (size_t)snprintf(room, VALUE_KEY_BYTES, "/things/%d", key));
}

uint32_t value_tag(int key)
{
    return (uint32_t)(TAG_FIRST + key);
}

uint32_t value_group(int key)
{
    return (uint32_t)(GROUP_FIRST + key % GROUPS);
}

/* ---- sizes ---- */

static uint32_t between(uint64_t bits, uint32_t least, uint32_t most)
{
    return least + (uint32_t)(bits % (most - least + 1));
}

static uint32_t mixed_bytes(uint64_t bits)
{
    unsigned share = (unsigned)(bits >> 40) % 100;
    return share < 70   ? between(bits, 100, 2000)
           : share < 85 ? between(bits, 2000, 8000)
           : share < 95 ? between(bits, 8000, 28000)
                        : between(bits, 40000, VALUE_BYTES_MAX - 200);
}

static size_t body_bytes(int key, uint64_t version)
{
    uint32_t more = (uint32_t)(value_mix((uint64_t)key ^ version << 20) % 97);
    switch (key / VALUE_KIND_KEYS * VALUE_KIND_KEYS) {
    case VALUE_WHOLE:
        return 32000 + more;
    case VALUE_TWO:
        return 50000 + more;
    case VALUE_FOUR:
        return 120000 + more;
    case VALUE_PAGE:
        return 8000 + more;
    case VALUE_MIXED:
        return mixed_bytes(value_mix((uint64_t)key)) + more;
    default:
        return 200 + more;
    }
}

static bool is_absence(int key)
{
    return key / VALUE_KIND_KEYS * VALUE_KIND_KEYS == VALUE_ABSENCE ||
           (key < VALUE_KIND_KEYS && key % ABSENCE_SHARE == 1 && body_bytes(key, 1) < 2000);
}

/* ---- bytes ---- */

/* Some words are alike, so that gzip pays. */
static uint64_t word_of(int key, uint64_t version, size_t i)
{
    return i == 0 ? version : value_mix((uint64_t)key << 40 ^ version << 8 ^ i / WORDS_ALIKE);
}

static bool body_is(int key, uint64_t version, struct slice body)
{
    for (size_t at = 0; at < body.len; at += WORD) {
        uint64_t word = word_of(key, version, at / WORD);
        if (memcmp(body.at + at, &word, MIN((size_t)WORD, body.len - at)) != 0)
            return false;
    }
    return body.len == body_bytes(key, version);
}

static void etag_of(int key, uint64_t version, char etag[static CACHE_ETAG_BYTES])
{
    uint64_t a = value_mix((uint64_t)key), b = value_mix(a ^ version);
    snprintf(etag, CACHE_ETAG_BYTES, "\"%016llx%016llx\"", (unsigned long long)a, (unsigned long long)b);
}

static struct slice head_of(int key, char room[static CACHE_HEAD_BYTES])
{
    int which = key % OWN_HEAD_SHARE == 0 ? key : key % HEADS;
    return slice_of(room, (size_t)snprintf(room, CACHE_HEAD_BYTES, "Content-Type: text/%d\r\n", which));
}

void value_fill(int key, uint64_t version, char room[static VALUE_BYTES_MAX], struct cache_entry *out)
{
    static char head[CACHE_HEAD_BYTES];
    size_t len = body_bytes(key, version);
    for (size_t at = 0; at < len; at += WORD) {
        uint64_t word = word_of(key, version, at / WORD);
        memcpy(room + at, &word, WORD);
    }
    *out = (struct cache_entry){.body = slice_of(room, len),
                                .head = head_of(key, head),
                                .cost_us = 1000,
                                .tag_slots = {value_tag(key), value_group(key)},
                                .tag_count = 2,
                                .status = is_absence(key) ? 404 : 200,
                                .negative = is_absence(key)};
    etag_of(key, version, out->etag);
}

/* ---- looking ---- */

static bool gzip_is_of(struct slice gzip, struct slice body)
{
    static char room[VALUE_BYTES_MAX];
    z_stream z = {0};
    if (gzip.len == 0)
        return true;
    z.next_in = (Bytef *)(uintptr_t)gzip.at;
    z.avail_in = (uInt)gzip.len;
    z.next_out = (Bytef *)room;
    z.avail_out = sizeof room;
    CHECK(inflateInit2(&z, 15 + 16) == Z_OK);
    bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END;
    bool same = whole && slice_eq(slice_of(room, z.total_out), body);
    inflateEnd(&z);
    return same;
}

uint64_t value_version(int key, const struct cache_entry *e)
{
    char head[CACHE_HEAD_BYTES], etag[CACHE_ETAG_BYTES];
    uint64_t version;
    if (e->body.len < WORD)
        return VALUE_WRONG;
    memcpy(&version, e->body.at, WORD);
    etag_of(key, version, etag);
    bool right = version != 0 && body_is(key, version, e->body) && strcmp(e->etag, etag) == 0 &&
                 slice_eq(e->head, head_of(key, head)) && e->status == (is_absence(key) ? 404 : 200) &&
                 e->negative == is_absence(key) && !e->uncacheable && gzip_is_of(e->gzip, e->body);
    return right ? version : VALUE_WRONG;
}
