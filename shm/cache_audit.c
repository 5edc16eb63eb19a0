#include "shm/cache_layout.h"

#include <stdatomic.h>
#include <stdio.h>

struct audit {
    const struct cache *c;
    struct cache_audit *out;
};

static void wrong(const struct audit *a, const char *what, uint64_t where, uint64_t value)
{
    if (a->out->wrong++ == 0)
        snprintf(a->out->what, sizeof a->out->what, "%s (%llu: %llx)", what, (unsigned long long)where,
                 (unsigned long long)value);
}

/* ---- segments ---- */

/* A part without a run, or of one that does not reach it, is lost for ever. */
static void audit_part(const struct audit *a, uint32_t i)
{
    uint32_t head = (uint32_t)segment_owner_of(a->c->segments[i].word);
    if (head >= i || i - head >= a->c->segments[head].run)
        wrong(a, "a part of no run", i, head);
    else if (segment_state_of(a->c->segments[head].word) == SEGMENT_FREE)
        wrong(a, "a part of a free run", i, head);
}

static void audit_segment(const struct audit *a, uint32_t i)
{
    const struct cache_segment *s = &a->c->segments[i];
    switch (segment_state_of(s->word)) {
    case SEGMENT_FREE:
        a->out->free++;
        if (s->used != 0 || s->run > 1)
            wrong(a, "a free segment holds something", i, s->used);
        return;
    case SEGMENT_OPEN:
        a->out->open++;
        return;
    case SEGMENT_SEALED:
        a->out->sealed++;
        return;
    case SEGMENT_RECLAIM:
        a->out->reclaim++;
        return;
    case SEGMENT_LIMBO:
        a->out->limbo++;
        return;
    case SEGMENT_PART:
        a->out->part++;
        audit_part(a, i);
        return;
    case SEGMENT_AWAY:
        a->out->away++;
        if (s->used != 0 || s->run > 1)
            wrong(a, "a segment whose memory is away holds something", i, s->used);
        return;
    }
    wrong(a, "a segment of no state", i, s->word);
}

/* ---- words ---- */

static bool is_place_of(const struct cache *c, uint64_t hash, uint32_t bucket)
{
    return spread((uint32_t)hash, c->bucket_count) == bucket ||
           spread((uint32_t)(hash >> 32), c->bucket_count) == bucket;
}

static void audit_item(const struct audit *a, uint32_t bucket, uint64_t word)
{
    const struct cache_item *item = item_of(a->c, word);
    const struct cache_segment *s = &a->c->segments[word_segment(word)];
    struct slice key = item_key(item);
    if (!item_fits(a->c, item) || word_offset(word) + item->bytes > s->used) {
        wrong(a, "a word names no whole item", bucket, word);
        return;
    }
    uint64_t hash = cache_hash(a->c, key);
    if (word_tag(hash) != word >> WORD_TAG_SHIFT || !is_place_of(a->c, hash, bucket))
        wrong(a, "a word in another key's bucket", bucket, word);
    else if (!item_is_whole(item))
        wrong(a, "an item's checksum", bucket, word);
    else if (item->bytes > a->c->segment_bytes && s->run * (uint64_t)a->c->segment_bytes < item->bytes)
        wrong(a, "an item beyond its run", bucket, word);
    const struct cache_key whole = {key, hash};
    for (struct index_look at = {0}; index_find(a->c, &whole, &at); at.place++) {
        a->out->duplicates += word_place(at.seen) > word_place(word);
        index_unpin(at.pin);
    }
    a->out->live_bytes += item->bytes;
    a->out->overhead_bytes += item->bytes - key.len - item->body_len - item->gzip_len - item_own_head(item).len;
}

static void audit_word(const struct audit *a, uint32_t bucket, uint64_t word)
{
    if (word == 0)
        return;
    a->out->words++;
    if (word_segment(word) >= a->c->segment_count) {
        wrong(a, "a word names no segment", bucket, word);
        return;
    }
    switch (segment_state_of(a->c->segments[word_segment(word)].word)) {
    case SEGMENT_FREE:
    case SEGMENT_LIMBO:
    case SEGMENT_PART:
    case SEGMENT_AWAY:
        wrong(a, "a word names a segment that holds no items", bucket, word);
        return;
    case SEGMENT_OPEN:
    case SEGMENT_SEALED:
    case SEGMENT_RECLAIM:
        audit_item(a, bucket, word);
        return;
    }
}

void cache_audit(const struct cache *c, struct cache_audit *out)
{
    *out = (struct cache_audit){0};
    const struct audit a = {c, out};
    for (uint32_t i = 0; i < c->segment_count; i++)
        audit_segment(&a, i);
    for (uint32_t bucket = 0; bucket < c->bucket_count; bucket++)
        for (int way = 0; way < CACHE_WAYS; way++)
            audit_word(&a, bucket, c->buckets[bucket].words[way]);
    for (uint32_t row = 0; row < BOARD_ROWS; row++)
        for (uint32_t i = 0; i < c->segment_count; i++)
            out->pins += c->pins[(size_t)row * c->pin_stride + i];
}
