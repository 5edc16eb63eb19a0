#include "shm/cache.h"
#include "common/clock.h"
#include "shm/lock.h"
#include "shm/segment.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The simplest form that keeps the promises: stripes, each with a robust mutex, buckets, and a ring of items in the
 * order of their writing. A stripe whose holder died is emptied, since what it was doing is unknown. Offsets count up
 * for ever; an item's place is its offset modulo the ring's size, and 0 means none. */
enum { STRIPES_MAX = 64, STRIPE_LEAST_BYTES = 1 << 20, ALIGN = 16, LARGEST_SHARE = 4 };

struct item {
    uint64_t next; /* offset of the next one in the bucket */
    uint64_t hash;
    uint32_t bytes; /* of the whole item, padding included */
    uint32_t key_len, body_len;
    uint16_t status;
    uint8_t tag_count;
    bool live; /* its bucket names it */
    int64_t created_us, fresh_until_us, tti_us, last_access_us;
    uint64_t born_seq;
    uint32_t tag_slots[CACHE_TAGS_MAX];
    char etag[36], content_type[48];
    char bytes_of[]; /* key, body */
};

struct stripe {
    pthread_mutex_t lock;
    uint64_t head, tail; /* where the next item goes; the oldest one */
    uint64_t entries, used_bytes, evicted, expired, recovered;
};

struct cache {
    struct tags *tags;
    int stripes;
    uint64_t bucket_count, entries_max, ring_bytes; /* of a stripe */
    size_t stripe_bytes, total_bytes;
    char *base;
};

static struct stripe *stripe_at(const struct cache *c, int i)
{
    return (struct stripe *)(void *)(c->base + (size_t)i * c->stripe_bytes);
}

static uint64_t *buckets_of(struct stripe *s)
{
    return (uint64_t *)(void *)((char *)s + (sizeof *s + ALIGN - 1) / ALIGN * ALIGN);
}

static struct item *item_at(const struct cache *c, struct stripe *s, uint64_t offset)
{
    char *ring = (char *)(buckets_of(s) + c->bucket_count);
    return (struct item *)(void *)(ring + offset % c->ring_bytes);
}

static void empty_stripe(const struct cache *c, struct stripe *s)
{
    memset(buckets_of(s), 0, c->bucket_count * sizeof(uint64_t));
    s->head = s->tail = c->ring_bytes; /* not 0, which means none */
    s->entries = s->used_bytes = 0;
}

struct cache *cache_create(int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err)
{
    struct cache *c = xcalloc(1, sizeof *c);
    c->tags = tags;
    c->stripes = 1;
    while (c->stripes < STRIPES_MAX && size_bytes / (c->stripes * 2) >= STRIPE_LEAST_BYTES)
        c->stripes *= 2;
    c->stripe_bytes = (size_t)size_bytes / (size_t)c->stripes / 4096 * 4096;
    c->total_bytes = c->stripe_bytes * (size_t)c->stripes;
    c->entries_max = (uint64_t)MAX((entries + c->stripes - 1) / c->stripes, INT64_C(1));
    c->bucket_count = MIN(c->entries_max, (uint64_t)c->stripe_bytes / 64);
    c->bucket_count += c->bucket_count % 2; /* so that the ring begins aligned */
    size_t used = (sizeof(struct stripe) + ALIGN - 1) / ALIGN * ALIGN + c->bucket_count * sizeof(uint64_t);
    CHECK(used < c->stripe_bytes / 2);
    c->ring_bytes = (c->stripe_bytes - used) / ALIGN * ALIGN;
    c->base = segment_create("perfd-cache", c->total_bytes, err);
    for (int i = 0; c->base != NULL && i < c->stripes; i++) {
        lock_init(&stripe_at(c, i)->lock);
        empty_stripe(c, stripe_at(c, i));
    }
    if (c->base == NULL)
        free(c);
    return c->base == NULL ? NULL : c;
}

void cache_destroy(struct cache **c)
{
    segment_destroy((*c)->base, (*c)->total_bytes);
    free(*c);
    *c = NULL;
}

size_t cache_largest_bytes(const struct cache *c)
{
    return c->ring_bytes / LARGEST_SHARE - sizeof(struct item) - ALIGN;
}

static struct stripe *lock_stripe(struct cache *c, uint64_t hash)
{
    struct stripe *s = stripe_at(c, (int)((hash >> 32) % (uint64_t)c->stripes));
    switch (lock_take(&s->lock)) {
    case LOCK_TAKEN:
        return s;
    case LOCK_INHERITED:
        empty_stripe(c, s);
        s->recovered++;
        return s;
    case LOCK_LATE:
        break;
    }
    return NULL;
}

/* The word that names key's item, or NULL. */
static uint64_t *find(struct cache *c, struct stripe *s, uint64_t hash, struct slice key)
{
    uint64_t *word = &buckets_of(s)[hash % c->bucket_count];
    for (; *word != 0; word = &item_at(c, s, *word)->next) {
        struct item *it = item_at(c, s, *word);
        if (it->hash == hash && slice_eq(slice_of(it->bytes_of, it->key_len), key))
            return word;
    }
    return NULL;
}

static void unlink_item(const struct cache *c, struct stripe *s, uint64_t *word)
{
    struct item *it = item_at(c, s, *word);
    *word = it->next;
    it->live = false;
    s->entries--;
    s->used_bytes -= it->bytes;
}

static bool is_fresh(const struct cache *c, const struct item *it, int64_t now_us)
{
    return now_us < it->fresh_until_us && (it->tti_us == 0 || now_us < it->last_access_us + it->tti_us) &&
           tags_valid(c->tags, it->born_seq, it->tag_slots, it->tag_count);
}

static void copy_out(const struct item *it, struct cache_entry *out)
{
    char *body = xmalloc(it->body_len);
    memcpy(body, it->bytes_of + it->key_len, it->body_len);
    *out = (struct cache_entry){.body = slice_of(body, it->body_len),
                                .created_us = it->created_us,
                                .fresh_until_us = it->fresh_until_us,
                                .tti_us = it->tti_us,
                                .born_seq = it->born_seq,
                                .tag_count = it->tag_count,
                                .status = it->status,
                                .hold = body};
    memcpy(out->tag_slots, it->tag_slots, sizeof out->tag_slots);
    memcpy(out->etag, it->etag, sizeof out->etag);
    memcpy(out->content_type, it->content_type, sizeof out->content_type);
}

bool cache_get(struct cache *c, struct slice key, int64_t now_us, struct cache_entry *entry_out)
{
    uint64_t hash = XXH3_64bits(key.at, key.len);
    struct stripe *s = lock_stripe(c, hash);
    if (s == NULL)
        return false;
    uint64_t *word = find(c, s, hash, key);
    struct item *it = word ? item_at(c, s, *word) : NULL;
    bool fresh = it != NULL && is_fresh(c, it, now_us);
    if (fresh) {
        it->last_access_us = MAX(it->last_access_us, now_us);
        copy_out(it, entry_out);
    } else if (it != NULL) {
        unlink_item(c, s, word);
        s->expired++;
    }
    lock_give(&s->lock);
    return fresh;
}

void cache_release(struct cache_entry *entry)
{
    free(entry->hold);
    entry->hold = NULL;
}

/* Room for `bytes` in one piece at the head; an item never wraps, so the ring's end may stay unused. The tail's item
 * moves on to the next one, dead or alive; the gap at the end is an item that is not live. */
static uint64_t gap_before(const struct cache *c, uint64_t head, uint64_t bytes)
{
    uint64_t left = c->ring_bytes - head % c->ring_bytes;
    return left < bytes ? left : 0;
}

static uint64_t *word_of(const struct cache *c, struct stripe *s, uint64_t offset)
{
    uint64_t *word = &buckets_of(s)[item_at(c, s, offset)->hash % c->bucket_count];
    while (*word != offset)
        word = &item_at(c, s, *word)->next;
    return word;
}

/* Drops the oldest item. */
static void drop_tail(const struct cache *c, struct stripe *s)
{
    uint64_t left = c->ring_bytes - s->tail % c->ring_bytes;
    struct item *it = item_at(c, s, s->tail);
    if (left < sizeof *it || it->bytes == 0) {
        s->tail += left; /* the gap before the ring's end */
        return;
    }
    if (it->live) {
        unlink_item(c, s, word_of(c, s, s->tail));
        s->evicted++;
    }
    s->tail += it->bytes;
}

static uint64_t claim(const struct cache *c, struct stripe *s, uint64_t bytes)
{
    uint64_t gap = gap_before(c, s->head, bytes);
    while (s->head + gap + bytes - s->tail > c->ring_bytes || s->entries >= c->entries_max)
        drop_tail(c, s);
    if (gap >= sizeof(struct item))
        item_at(c, s, s->head)->bytes = 0;
    uint64_t offset = s->head + gap;
    s->head = offset + bytes;
    return offset;
}

static void fill(struct item *it, uint64_t hash, struct slice key, const struct cache_entry *e, uint32_t bytes,
                 int64_t now_us)
{
    *it = (struct item){.hash = hash,
                        .bytes = bytes,
                        .key_len = (uint32_t)key.len,
                        .body_len = (uint32_t)e->body.len,
                        .status = (uint16_t)e->status,
                        .tag_count = (uint8_t)e->tag_count,
                        .live = true,
                        .created_us = e->created_us,
                        .fresh_until_us = e->fresh_until_us,
                        .tti_us = e->tti_us,
                        .last_access_us = now_us,
                        .born_seq = e->born_seq};
    memcpy(it->tag_slots, e->tag_slots, sizeof it->tag_slots);
    memcpy(it->etag, e->etag, sizeof it->etag);
    memcpy(it->content_type, e->content_type, sizeof it->content_type);
    memcpy(it->bytes_of, key.at, key.len);
    if (e->body.len > 0)
        memcpy(it->bytes_of + key.len, e->body.at, e->body.len);
}

static void publish(struct cache *c, struct stripe *s, uint64_t offset)
{
    struct item *it = item_at(c, s, offset);
    uint64_t *bucket = &buckets_of(s)[it->hash % c->bucket_count];
    it->next = *bucket;
    *bucket = offset;
    s->entries++;
    s->used_bytes += it->bytes;
}

bool cache_put(struct cache *c, struct slice key, const struct cache_entry *entry, int64_t now_us)
{
    CHECK(entry->tag_count <= CACHE_TAGS_MAX);
    if (key.len + entry->body.len > cache_largest_bytes(c))
        return false;
    uint64_t hash = XXH3_64bits(key.at, key.len);
    uint64_t bytes = (sizeof(struct item) + key.len + entry->body.len + ALIGN - 1) / ALIGN * ALIGN;
    struct stripe *s = lock_stripe(c, hash);
    if (s == NULL)
        return false;
    uint64_t *word = find(c, s, hash, key);
    bool older = word != NULL && item_at(c, s, *word)->born_seq > entry->born_seq;
    if (!older) {
        if (word != NULL)
            unlink_item(c, s, word);
        uint64_t offset = claim(c, s, bytes);
        fill(item_at(c, s, offset), hash, key, entry, (uint32_t)bytes, now_us);
        publish(c, s, offset);
    }
    lock_give(&s->lock);
    return !older;
}

void cache_usage(struct cache *c, struct cache_usage *out)
{
    *out = (struct cache_usage){.entries_max = c->entries_max * (uint64_t)c->stripes, .size_bytes = c->total_bytes};
    for (int i = 0; i < c->stripes; i++) {
        /* Read without the lock: figures for a human, each by itself whole. */
        const volatile struct stripe *s = stripe_at(c, i);
        out->entries += s->entries;
        out->used_bytes += s->used_bytes;
        out->evicted += s->evicted;
        out->expired += s->expired;
        out->recovered += s->recovered;
    }
}
