#include "shm/cache_layout.h"

#include <stdatomic.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIXED_BYTES = offsetof(struct cache_item, bytes_of), HEX_BYTES = 32, ETAG_HEX_BYTES = HEX_BYTES + 2 };

uint64_t cache_hash(const struct cache *c, struct slice key)
{
    return XXH3_64bits_withSeed(key.at, key.len, c->header->seed);
}

/* ---- parts ---- */

static const char *etag_at(const struct cache_item *item)
{
    return item->bytes_of + item->tag_count * sizeof(uint32_t);
}

/* All but an own head. */
static size_t other_bytes(const struct cache_item *item)
{
    return FIXED_BYTES + item->tag_count * sizeof(uint32_t) + item->etag_len + (size_t)item->key_len + item->body_len +
           item->gzip_len;
}

static size_t own_head_bytes(const struct cache_item *item)
{
    return item->flags & ITEM_HEAD_WITHIN ? item->bytes - item->head - other_bytes(item) : 0;
}

struct slice item_own_head(const struct cache_item *item)
{
    return slice_of(etag_at(item) + item->etag_len, own_head_bytes(item));
}

/* Splits what item_own_head() gives. */
static struct slice take_notes(struct slice *head)
{
    uint16_t len;
    memcpy(&len, head->at, sizeof len);
    struct slice notes = slice_of(head->at + sizeof len, len);
    *head = slice_of(notes.at + len, head->len - sizeof len - len);
    return notes;
}

struct slice item_key(const struct cache_item *item)
{
    return slice_of(etag_at(item) + item->etag_len + own_head_bytes(item), item->key_len);
}

bool item_fits(const struct cache *c, const struct cache_item *item)
{
    size_t padding = item->flags & ITEM_HEAD_WITHIN ? item->head : 0;
    return item->bytes >= FIXED_BYTES && item->tag_count <= CACHE_TAGS_MAX && item->head < CACHE_HEADS &&
           item->etag_len < CACHE_ETAG_BYTES && item->bytes <= c->largest_bytes + c->segment_bytes &&
           other_bytes(item) + padding <= item->bytes && padding < CACHE_ALIGN;
}

static uint32_t checksum(const struct cache_item *item)
{
    return (uint32_t)XXH3_64bits(item->bytes_of, other_bytes(item) + own_head_bytes(item) - FIXED_BYTES);
}

bool item_is_whole(const struct cache_item *item)
{
    return item->checksum == checksum(item);
}

bool item_valid(const struct cache *c, const struct cache_item *item)
{
    return tags_valid(c->tags, item->born_seq, (const uint32_t *)(const void *)item->bytes_of, item->tag_count);
}

int64_t item_expires_us(const struct cache_item *item)
{
    return item->fresh_until_us + (int64_t)item->keep_ms * 1000;
}

/* ---- entity tags: 32 hexadecimal digits are kept as 16 bytes ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex(const char *etag)
{
    if (strlen(etag) != ETAG_HEX_BYTES || etag[0] != '"' || etag[ETAG_HEX_BYTES - 1] != '"')
        return false;
    for (int i = 1; i <= HEX_BYTES; i++)
        if (digit(etag[i]) < 0)
            return false;
    return true;
}

static size_t etag_bytes(const char *etag)
{
    return is_hex(etag) ? HEX_BYTES / 2 : strlen(etag);
}

static void etag_write(char *to, const char *etag)
{
    if (!is_hex(etag))
        memcpy(to, etag, strlen(etag));
    else
        for (int i = 0; i < HEX_BYTES / 2; i++)
            to[i] = (char)(digit(etag[1 + 2 * i]) << 4 | digit(etag[2 + 2 * i]));
}

/* All 32 digits at once: the halves of each byte side by side, then '0' or 'a' - 10 is added. */
typedef uint8_t bytes16 __attribute__((vector_size(HEX_BYTES / 2)));

static void hex_write(char *to, const char *from)
{
    static const bytes16 first = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23},
                         second = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    bytes16 all;
    memcpy(&all, from, sizeof all);
    bytes16 high = all >> 4, low = all & 15;
    high += '0' + ((bytes16)(high > 9) & ('a' - '0' - 10));
    low += '0' + ((bytes16)(low > 9) & ('a' - '0' - 10));
    bytes16 digits = __builtin_shuffle(high, low, first);
    memcpy(to, &digits, sizeof digits);
    digits = __builtin_shuffle(high, low, second);
    memcpy(to + sizeof digits, &digits, sizeof digits);
}

static void etag_read(const struct cache_item *item, char to[static CACHE_ETAG_BYTES])
{
    const char *from = etag_at(item);
    if (!(item->flags & ITEM_ETAG_HEX)) {
        memcpy(to, from, item->etag_len);
        to[item->etag_len] = '\0';
        return;
    }
    to[0] = to[ETAG_HEX_BYTES - 1] = '"';
    to[ETAG_HEX_BYTES] = '\0';
    hex_write(to + 1, from);
}

/* ---- whole items ---- */

bool item_measure(struct cache *c, const struct cache_key *key, const struct cache_entry *e, struct item_shape *out)
{
    bool own_head = e->own_head || e->notes.len > 0;
    size_t data = key->bytes.len + e->body.len + e->gzip.len + e->notes.len + (own_head ? e->head.len : 0);
    size_t head_max = own_head ? CACHE_OWN_HEAD_BYTES : CACHE_HEAD_BYTES;
    if (key->bytes.len > CACHE_KEY_BYTES_MAX || e->head.len > head_max || e->notes.len > CACHE_OWN_HEAD_BYTES ||
        data > c->largest_bytes)
        return false;
    out->head = own_head ? -1 : head_find(c, e->head);
    size_t bytes = FIXED_BYTES + (size_t)e->tag_count * sizeof(uint32_t) + etag_bytes(e->etag) + key->bytes.len +
                   e->body.len + e->gzip.len + (out->head < 0 ? e->head.len : 0) +
                   (e->notes.len > 0 ? sizeof(uint16_t) + e->notes.len : 0);
    out->bytes = (uint32_t)((bytes + CACHE_ALIGN - 1) / CACHE_ALIGN * CACHE_ALIGN);
    out->padding = (uint8_t)(out->bytes - bytes);
    return true;
}

static uint32_t in_ms(int64_t us)
{
    return (uint32_t)MIN(MAX((us + 999) / 1000, INT64_C(0)), INT64_C(0xffffffff));
}

static char *append(char *at, struct slice bytes)
{
    return bytes.len > 0 ? mempcpy(at, bytes.at, bytes.len) : at;
}

void item_write(struct cache_item *item, const struct item_shape *shape, const struct cache_key *key,
                const struct cache_rules *rules, const struct cache_entry *e, int64_t now_us)
{
    int head = shape->head;
    int flags = (e->negative ? ITEM_NEGATIVE : 0) | (e->uncacheable ? ITEM_UNCACHEABLE : 0) |
                (is_hex(e->etag) ? ITEM_ETAG_HEX : 0) | (head < 0 ? ITEM_HEAD_WITHIN : 0) |
                (e->notes.len > 0 ? ITEM_NOTED : 0);
    item->body_len = (uint32_t)e->body.len;
    item->gzip_len = (uint32_t)e->gzip.len;
    item->key_len = (uint16_t)key->bytes.len;
    item->head = head < 0 ? shape->padding : (uint8_t)head;
    item->etag_len = (uint8_t)etag_bytes(e->etag);
    item->created_us = e->created_us;
    item->fresh_until_us = e->fresh_until_us;
    item->born_seq = e->born_seq;
    item->last_access_ms = in_ms(now_us - e->created_us);
    item->keep_ms =
        e->negative || e->uncacheable ? 0 : in_ms(MAX(rules->stale_us, rules->stale_if_error_us)); /* never stale */
    item->cost_us = (uint32_t)MIN(MAX(e->cost_us, INT64_C(0)), INT64_C(0xffffffff));
    item->status = (uint16_t)e->status;
    item->flags = (uint8_t)flags;
    item->tag_count = (uint8_t)e->tag_count;
    char *at = mempcpy(item->bytes_of, e->tag_slots, item->tag_count * sizeof *e->tag_slots);
    etag_write(at, e->etag);
    at += item->etag_len;
    if (e->notes.len > 0) {
        uint16_t len = (uint16_t)e->notes.len;
        at = append(mempcpy(at, &len, sizeof len), e->notes);
    }
    if (head < 0)
        at = append(at, e->head);
    append(append(append(at, key->bytes), e->body), e->gzip);
    item->checksum = checksum(item);
}

void item_read(const struct cache *c, const struct cache_item *item, struct cache_entry *out)
{
    struct slice key = item_key(item);
    const struct cache_head *shared = &c->header->heads[item->head];
    int flags = item->flags;
    out->body = slice_of(key.at + key.len, item->body_len);
    out->gzip = slice_of(out->body.at + out->body.len, item->gzip_len);
    out->own_head = flags & ITEM_HEAD_WITHIN;
    out->head = out->own_head ? item_own_head(item) : slice_of(shared->bytes, shared->len);
    out->notes = flags & ITEM_NOTED ? take_notes(&out->head) : slice_of(NULL, 0);
    out->created_us = item->created_us;
    out->fresh_until_us = item->fresh_until_us;
    out->born_seq = item->born_seq;
    out->cost_us = item->cost_us;
    out->status = item->status;
    out->negative = flags & ITEM_NEGATIVE;
    out->uncacheable = flags & ITEM_UNCACHEABLE;
    out->gzip_refused = flags & ITEM_NO_GZIP;
    etag_read(item, out->etag);
}

void item_read_tags(const struct cache_item *item, struct cache_entry *out)
{
    out->tag_count = item->tag_count;
    memcpy(out->tag_slots, item->bytes_of, item->tag_count * sizeof *out->tag_slots);
}
