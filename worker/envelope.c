#include "worker/envelope.h"

#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAGIC = 0x34647070 /* "ppd4" */, STATUS_LEAST = 200, STATUS_MOST = 599 };

/* As it lies in memory: all machines that share a Redis are little-endian, the checksum refuses the others'. */
struct head {
    uint64_t checksum; /* XXH3 of all that follows */
    uint32_t magic, format;
    uint32_t status, own_head;
    int64_t created_us, fresh_until_us; /* wall clock */
    uint64_t versions[1 + CACHE_TAGS_MAX];
    uint32_t tag_count, key_len, notes_len, head_len, body_len, unused;
    char etag[CACHE_ETAG_BYTES];
};

static uint64_t checksum(const char *bytes, size_t len)
{
    return XXH3_64bits(bytes + sizeof(uint64_t), len - sizeof(uint64_t));
}

size_t envelope_bytes(const struct redis_key *key, const struct cache_entry *entry)
{
    return sizeof(struct head) + key->key.len + entry->notes.len + entry->head.len + entry->body.len;
}

void envelope_write(struct buf *out, const struct redis_key *key, const struct redis_versions *versions,
                    const struct cache_entry *entry, int64_t now_us, int64_t wall_us)
{
    struct head head = {.magic = MAGIC,
                        .format = ENVELOPE_FORMAT,
                        .status = (uint32_t)entry->status,
                        .created_us = entry->created_us - now_us + wall_us,
                        .fresh_until_us = entry->fresh_until_us - now_us + wall_us,
                        .tag_count = (uint32_t)key->tag_count,
                        .key_len = (uint32_t)key->key.len,
                        .head_len = (uint32_t)entry->head.len,
                        .body_len = (uint32_t)entry->body.len,
                        .own_head = entry->own_head,
                        .notes_len = (uint32_t)entry->notes.len};
    memcpy(head.versions, versions->at, sizeof head.versions[0] * (size_t)(1 + key->tag_count));
    memcpy(head.etag, entry->etag, sizeof entry->etag);
    size_t start = out->len;
    buf_reserve(out, envelope_bytes(key, entry));
    buf_add(out, &head, sizeof head);
    buf_add(out, key->key.at, key->key.len);
    buf_add(out, entry->notes.at, entry->notes.len);
    buf_add(out, entry->head.at, entry->head.len);
    buf_add(out, entry->body.at, entry->body.len);
    uint64_t sum = checksum(out->at + start, out->len - start);
    memcpy(out->at + start, &sum, sizeof sum);
}

/* Neither so far away that no difference of times could be told. */
static bool is_time(int64_t us)
{
    return us >= 0 && us <= INT64_MAX / 4;
}

static bool head_fits(const struct head *head, struct slice bytes, const struct redis_key *key,
                      const struct redis_versions *versions)
{
    if (head->magic != MAGIC || head->format != ENVELOPE_FORMAT || head->status < STATUS_LEAST ||
        head->status > STATUS_MOST || head->tag_count != (uint32_t)key->tag_count || head->key_len != key->key.len ||
        head->head_len > CACHE_OWN_HEAD_BYTES || head->notes_len > CACHE_OWN_HEAD_BYTES ||
        bytes.len != sizeof *head + (size_t)head->key_len + head->notes_len + head->head_len + head->body_len)
        return false;
    if (memchr(head->etag, 0, CACHE_ETAG_BYTES) == NULL || !is_time(head->created_us) || !is_time(head->fresh_until_us))
        return false;
    return memcmp(head->versions, versions->at, sizeof head->versions[0] * (size_t)(1 + key->tag_count)) == 0;
}

bool envelope_read(struct slice bytes, const struct redis_key *key, const struct redis_versions *versions,
                   struct cache_entry *entry_out, int64_t now_us, int64_t wall_us)
{
    struct head head;
    if (!versions->known || bytes.len < sizeof head)
        return false;
    memcpy(&head, bytes.at, sizeof head);
    if (!head_fits(&head, bytes, key, versions) || head.fresh_until_us <= wall_us ||
        memcmp(bytes.at + sizeof head, key->key.at, key->key.len) != 0 ||
        head.checksum != checksum(bytes.at, bytes.len))
        return false;
    const char *notes = bytes.at + sizeof head + head.key_len, *fields = notes + head.notes_len;
    *entry_out = (struct cache_entry){.notes = slice_of(notes, head.notes_len),
                                      .head = slice_of(fields, head.head_len),
                                      .own_head = head.own_head != 0,
                                      .body = slice_of(fields + head.head_len, head.body_len),
                                      .created_us = MIN(head.created_us - wall_us + now_us, now_us),
                                      .fresh_until_us = head.fresh_until_us - wall_us + now_us,
                                      .status = (int)head.status,
                                      .tag_count = key->tag_count};
    memcpy(entry_out->tag_slots, key->tag_slots, sizeof *key->tag_slots * (size_t)key->tag_count);
    memcpy(entry_out->etag, head.etag, sizeof entry_out->etag);
    return true;
}
