#include "shm/cache_layout.h"

#include <stdatomic.h>

uint32_t cache_buckets(const struct cache *c)
{
    return c->bucket_count;
}

/* The pin holds it while it is looked at. */
static void show(struct cache *c, _Atomic uint64_t *word, bool (*seen)(void *arg, const struct cache_seen *item),
                 void *arg)
{
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed);
    _Atomic uint32_t *pin = was != 0 ? index_pin(c, word, was) : NULL;
    if (pin == NULL)
        return;
    const struct cache_item *item = item_of(c, was);
    const struct cache_seen shown = {item_key(item), item->bytes, (const uint32_t *)(const void *)item->bytes_of,
                                     item->tag_count};
    if (seen(arg, &shown))
        index_clear(c, word, word_place(was));
    index_unpin(pin);
}

uint32_t cache_walk(struct cache *c, uint32_t from, uint32_t buckets,
                    bool (*seen)(void *arg, const struct cache_seen *item), void *arg)
{
    from = MIN(from, c->bucket_count);
    uint32_t end = from + MIN(buckets, c->bucket_count - from);
    for (uint32_t i = from; i < end; i++)
        for (int way = 0; way < CACHE_WAYS; way++)
            show(c, &c->buckets[i].words[way], seen, arg);
    return end < c->bucket_count ? end : 0;
}
