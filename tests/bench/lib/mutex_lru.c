#include "tests/bench/lib/mutex_lru.h"
#include "shm/segment.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { STRIPE_BITS = 6, STRIPES = 1 << STRIPE_BITS, LINE_BYTES = 64 };

/* Slots are numbered from 1; 0 is none, so that zeroed memory is an empty cache. */
struct stripe {
    pthread_mutex_t mutex;
    uint32_t newest, oldest, free;
} __attribute__((aligned(LINE_BYTES)));

struct slot {
    uint64_t hash;
    int64_t fresh_until_us;
    uint32_t chain; /* the next of its bucket, or of the stripe's free ones */
    uint32_t newer, older;
    uint32_t body_len;
    uint32_t key_len;
    uint64_t born_seq;
    uint32_t tag_slot;
    uint16_t status, head_len;
    char etag[CACHE_ETAG_BYTES];
    char head[MUTEX_LRU_HEAD_BYTES_MAX];
    char bytes[]; /* key, body */
};

struct mutex_lru {
    struct tags *tags;
    void *segment;
    struct stripe *stripes;
    uint32_t *buckets; /* [stripe][bucket] */
    uint32_t bucket_mask;
    _Atomic uint32_t *taken; /* slots that some stripe has; it keeps them */
    char *slots;
    size_t slot_bytes, body_bytes_max;
    uint32_t slot_count;
};

/* ---- making ---- */

static void init_mutexes(struct mutex_lru *lru)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < STRIPES; i++)
        CHECK(pthread_mutex_init(&lru->stripes[i].mutex, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

struct mutex_lru *mutex_lru_create(uint32_t entries, size_t body_bytes_max, struct tags *tags, struct err *err)
{
    struct mutex_lru *lru = xcalloc(1, sizeof *lru);
    lru->tags = tags;
    size_t slot_bytes = sizeof(struct slot) + MUTEX_LRU_KEY_BYTES_MAX + body_bytes_max;
    uint32_t buckets = 1;
    while (buckets < entries / STRIPES + 1)
        buckets *= 2;
    lru->slot_bytes = (slot_bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    lru->body_bytes_max = body_bytes_max;
    lru->slot_count = entries;
    lru->bucket_mask = buckets - 1;
    struct segment_section sections[] = {
        {"stripes", STRIPES * sizeof *lru->stripes, sizeof *lru->stripes, NULL},
        {"buckets", STRIPES * buckets * sizeof *lru->buckets, sizeof *lru->buckets, NULL},
        {"taken", sizeof *lru->taken, sizeof *lru->taken, NULL},
        {"slots", entries * lru->slot_bytes, lru->slot_bytes, NULL},
    };
    lru->segment = segment_create("bench-mutex-lru", sections, ARRAY_LEN(sections), NULL, err);
    if (lru->segment == NULL) {
        free(lru);
        return NULL;
    }
    lru->stripes = sections[0].at;
    lru->buckets = sections[1].at;
    lru->taken = sections[2].at;
    lru->slots = sections[3].at;
    init_mutexes(lru);
    return lru;
}

void mutex_lru_destroy(struct mutex_lru **lru)
{
    segment_destroy((*lru)->segment);
    free(*lru);
    *lru = NULL;
}

/* ---- parts ---- */

/* The stripe from the hash's upper bits, the bucket from its lower. */
static struct stripe *stripe_of(const struct mutex_lru *lru, uint64_t hash)
{
    return &lru->stripes[hash >> (64 - STRIPE_BITS)];
}

static uint32_t *bucket_of(const struct mutex_lru *lru, uint64_t hash)
{
    size_t first = (hash >> (64 - STRIPE_BITS)) * (lru->bucket_mask + (size_t)1);
    return &lru->buckets[first + (hash & lru->bucket_mask)];
}

static struct slot *slot_at(const struct mutex_lru *lru, uint32_t n)
{
    return (struct slot *)(void *)(lru->slots + (n - 1) * lru->slot_bytes);
}

/* What a process that died left may be half changed, and nothing tells which half: the stripe starts anew. */
static struct stripe *lock(struct mutex_lru *lru, uint64_t hash)
{
    struct stripe *stripe = stripe_of(lru, hash);
    int failed = pthread_mutex_lock(&stripe->mutex);
    if (failed == EOWNERDEAD) {
        memset(bucket_of(lru, hash & ~(uint64_t)lru->bucket_mask), 0,
               (lru->bucket_mask + (size_t)1) * sizeof *lru->buckets);
        stripe->newest = stripe->oldest = stripe->free = 0;
        failed = pthread_mutex_consistent(&stripe->mutex);
    }
    CHECK(failed == 0);
    return stripe;
}

/* The link that names key's slot, or the last of its chain, which is 0. */
static uint32_t *find(const struct mutex_lru *lru, const struct cache_key *key)
{
    uint32_t *link = bucket_of(lru, key->hash);
    while (*link != 0) {
        struct slot *slot = slot_at(lru, *link);
        if (slot->hash == key->hash && slice_eq(slice_of(slot->bytes, slot->key_len), key->bytes))
            break;
        link = &slot->chain;
    }
    return link;
}

static void list_remove(const struct mutex_lru *lru, struct stripe *stripe, const struct slot *slot)
{
    *(slot->newer ? &slot_at(lru, slot->newer)->older : &stripe->newest) = slot->older;
    *(slot->older ? &slot_at(lru, slot->older)->newer : &stripe->oldest) = slot->newer;
}

static void list_add_newest(const struct mutex_lru *lru, struct stripe *stripe, uint32_t n)
{
    struct slot *slot = slot_at(lru, n);
    slot->newer = 0;
    slot->older = stripe->newest;
    *(stripe->newest ? &slot_at(lru, stripe->newest)->newer : &stripe->oldest) = n;
    stripe->newest = n;
}

static void list_renew(const struct mutex_lru *lru, struct stripe *stripe, uint32_t n)
{
    if (stripe->newest == n)
        return;
    list_remove(lru, stripe, slot_at(lru, n));
    list_add_newest(lru, stripe, n);
}

static void drop(const struct mutex_lru *lru, struct stripe *stripe, uint32_t *link)
{
    uint32_t n = *link;
    struct slot *slot = slot_at(lru, n);
    *link = slot->chain;
    list_remove(lru, stripe, slot);
    slot->chain = stripe->free;
    stripe->free = n;
}

static uint32_t take_fresh(struct mutex_lru *lru)
{
    uint32_t n = atomic_load_explicit(lru->taken, memory_order_relaxed);
    while (n < lru->slot_count)
        if (atomic_compare_exchange_weak(lru->taken, &n, n + 1))
            return n + 1;
    return 0;
}

/* A slot in no list: a free one, a fresh one, or that of the oldest entry. */
static uint32_t take_slot(struct mutex_lru *lru, struct stripe *stripe)
{
    uint32_t n = stripe->free ? 0 : take_fresh(lru);
    if (n != 0)
        return n;
    if (stripe->free == 0 && stripe->oldest != 0) {
        uint32_t *link = bucket_of(lru, slot_at(lru, stripe->oldest)->hash);
        while (*link != stripe->oldest)
            link = &slot_at(lru, *link)->chain;
        drop(lru, stripe, link);
    }
    n = stripe->free;
    if (n != 0)
        stripe->free = slot_at(lru, n)->chain;
    return n;
}

static uint32_t insert(struct mutex_lru *lru, struct stripe *stripe, const struct cache_key *key)
{
    uint32_t n = take_slot(lru, stripe), *bucket = bucket_of(lru, key->hash);
    if (n == 0)
        return 0;
    struct slot *slot = slot_at(lru, n);
    slot->hash = key->hash;
    slot->key_len = (uint32_t)key->bytes.len;
    memcpy(slot->bytes, key->bytes.at, key->bytes.len);
    slot->chain = *bucket;
    *bucket = n;
    list_add_newest(lru, stripe, n);
    return n;
}

/* ---- what is measured ---- */

static void copy_out(const struct slot *slot, char *body_out, struct cache_entry *entry_out)
{
    memcpy(body_out, slot->bytes + slot->key_len, slot->body_len);
    memcpy(body_out + slot->body_len, slot->head, slot->head_len);
    entry_out->body = slice_of(body_out, slot->body_len);
    entry_out->head = slice_of(body_out + slot->body_len, slot->head_len);
    entry_out->fresh_until_us = slot->fresh_until_us;
    entry_out->born_seq = slot->born_seq;
    entry_out->status = slot->status;
    memcpy(entry_out->etag, slot->etag, sizeof entry_out->etag);
}

bool mutex_lru_get(struct mutex_lru *lru, const struct cache_key *key, int64_t now_us, char *body_out,
                   struct cache_entry *entry_out)
{
    struct stripe *stripe = lock(lru, key->hash);
    uint32_t *link = find(lru, key), n = *link;
    const struct slot *slot = n != 0 ? slot_at(lru, n) : NULL;
    bool fresh =
        slot != NULL && now_us < slot->fresh_until_us && tags_valid(lru->tags, slot->born_seq, &slot->tag_slot, 1);
    if (fresh) {
        list_renew(lru, stripe, n);
        copy_out(slot, body_out, entry_out);
    } else if (n != 0) {
        drop(lru, stripe, link);
    }
    pthread_mutex_unlock(&stripe->mutex);
    return fresh;
}

static void fill(struct slot *slot, const struct cache_entry *entry)
{
    slot->fresh_until_us = entry->fresh_until_us;
    slot->born_seq = entry->born_seq;
    slot->tag_slot = entry->tag_slots[0];
    slot->status = (uint16_t)entry->status;
    slot->head_len = (uint16_t)entry->head.len;
    slot->body_len = (uint32_t)entry->body.len;
    memcpy(slot->etag, entry->etag, sizeof slot->etag);
    memcpy(slot->head, entry->head.at, entry->head.len);
    memcpy(slot->bytes + slot->key_len, entry->body.at, entry->body.len);
}

bool mutex_lru_put(struct mutex_lru *lru, const struct cache_key *key, const struct cache_entry *entry)
{
    if (key->bytes.len > MUTEX_LRU_KEY_BYTES_MAX || entry->body.len > lru->body_bytes_max ||
        entry->head.len > MUTEX_LRU_HEAD_BYTES_MAX)
        return false;
    struct stripe *stripe = lock(lru, key->hash);
    uint32_t n = *find(lru, key);
    if (n != 0)
        list_renew(lru, stripe, n);
    else
        n = insert(lru, stripe, key);
    if (n != 0)
        fill(slot_at(lru, n), entry);
    pthread_mutex_unlock(&stripe->mutex);
    return n != 0;
}

bool mutex_lru_drop(struct mutex_lru *lru, const struct cache_key *key)
{
    struct stripe *stripe = lock(lru, key->hash);
    uint32_t *link = find(lru, key);
    bool found = *link != 0;
    if (found)
        drop(lru, stripe, link);
    pthread_mutex_unlock(&stripe->mutex);
    return found;
}
