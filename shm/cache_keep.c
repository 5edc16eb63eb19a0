#include "common/gzip.h"
#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An open segment that nothing was put into for so long is sealed, so that its items take part in eviction. */
enum { IDLE_US = 60000000 };

void cache_tick(struct cache *c, int64_t now_us)
{
    for (int queue = 0; queue < QUEUE_COUNT; queue++) {
        int32_t i = c->open[queue];
        if (i >= 0 && now_us - c->segments[i].filled_us >= IDLE_US)
            log_seal_own(c, (enum cache_queue)queue);
    }
}

static void free_expired(struct cache *c, int64_t now_us)
{
    for (uint32_t i = 0; i < c->segment_count; i++) {
        const struct cache_segment *s = &c->segments[i];
        if (segment_state_of(s->word) == SEGMENT_SEALED && s->expires_us <= now_us)
            reclaim_segment(c, i, true, now_us);
    }
}

/* ---- compressing ---- */

/* Empty: it does not pay. */
static struct slice gzip_of(struct slice body, char *room)
{
    struct gzip *gzip = gzip_create(GZIP_LEVEL_KEPT);
    struct slice small = gzip_whole(gzip, body, room);
    gzip_destroy(&gzip);
    return small;
}

/* A copy with its gzip in the place of the item that the word names. False: there is no room for it. */
static bool replace(struct cache *c, _Atomic uint64_t *word, uint64_t seen, struct slice gzip, int64_t now_us)
{
    const struct cache_item *old = item_of(c, seen);
    struct slice bytes = item_key(old);
    const struct cache_key key = {bytes, cache_hash(c, bytes)};
    const struct cache_rules rules = {.stale_us = (int64_t)old->keep_ms * 1000};
    struct cache_entry entry;
    struct item_shape shape;
    uint32_t segment, offset;
    item_read(c, old, &entry);
    item_read_tags(old, &entry);
    entry.gzip = gzip;
    if (!item_measure(c, &key, &entry, &shape) || !log_take(c, QUEUE_MAIN, shape.bytes, now_us, &segment, &offset))
        return false;
    struct cache_item *item = item_at(c, segment, offset);
    item_write(item, &shape, &key, &rules, &entry, now_us);
    item->last_access_ms = old->last_access_ms;
    log_filled(c, segment, item, now_us);
    if (index_move(c, word, word_place(seen), word_make(key.hash, segment, offset) | (seen & WORD_FREQ_MASK)))
        c->header->compressed++;
    log_published(c, segment);
    return true;
}

static void compress_item(struct cache *c, _Atomic uint64_t *word, int64_t now_us)
{
    uint64_t seen = *word;
    _Atomic uint32_t *pin = seen != 0 ? index_pin(c, word, seen) : NULL;
    if (pin == NULL)
        return;
    struct cache_item *item = item_of(c, seen);
    struct slice key = item_key(item), body = slice_of(key.at + key.len, item->body_len);
    bool wanted = item->gzip_len == 0 && body.len >= CACHE_GZIP_LEAST_BYTES &&
                  !(item->flags & (ITEM_NO_GZIP | ITEM_NEGATIVE | ITEM_UNCACHEABLE));
    if (wanted) {
        FAULT(gzip_taken);
        char *room = xmalloc(body.len);
        struct slice gzip = gzip_of(body, room);
        if (gzip.len == 0 || !replace(c, word, seen, gzip, now_us))
            item->flags |= ITEM_NO_GZIP; /* tried once */
        free(room);
    }
    index_unpin(pin);
}

static bool compress_wanted(struct cache *c, int64_t now_us)
{
    bool any = false;
    for (int i = 0; i < CACHE_WANTS; i++) {
        uint64_t want = atomic_exchange(&c->header->gzip_wanted[i], 0);
        if (want == 0)
            continue;
        any = true;
        compress_item(c, &c->buckets->words[want - 1], now_us);
    }
    return any;
}

bool cache_keep(struct cache *c, int64_t now_us)
{
    reclaim_ahead(c, c->segment_count / CACHE_AHEAD_SHARE, now_us);
    free_expired(c, now_us);
    give_step(c, now_us);
    return compress_wanted(c, now_us);
}
