#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <string.h>

/* Two choices of bucket, from different bits; a word never changes its bucket. */
static _Atomic uint64_t *word_at(const struct cache *c, uint64_t hash, int place)
{
    uint32_t bits = (uint32_t)(place < CACHE_WAYS ? hash : hash >> 32);
    return &c->buckets[spread(bits, c->bucket_count)].words[place % CACHE_WAYS];
}

static _Atomic int16_t *live_of(const struct cache *c, uint64_t word)
{
    return &c->segments[word_segment(word)].live;
}

/* ---- pins: how many reads a process has under way in a segment. Only that process writes its row. ---- */

_Atomic uint32_t *index_pin_of(const struct cache *c, uint32_t segment)
{
    return &c->pins[(size_t)c->proc * c->pin_stride + segment];
}

/* Without the fence the second look may come before the pin is to be seen, and without the second look the segment may
 * have been freed before it*. */
bool index_pin(const struct cache *c, const _Atomic uint64_t *word, uint64_t seen)
{
    _Atomic uint32_t *mine = index_pin_of(c, word_segment(seen));
    uint32_t count = atomic_load_explicit(mine, memory_order_relaxed);
    FAULT(pin_loaded);
    atomic_store_explicit(mine, count + !MUTANT(no_pin), memory_order_relaxed);
    FAULT(pin_stored);
    atomic_thread_fence(memory_order_seq_cst);
    if (MUTANT(no_reload) || word_place(*word) == word_place(seen)) {
        FAULT(pin_held);
        return true;
    }
    atomic_store_explicit(mine, count, memory_order_release);
    return false;
}

void index_unpin(const struct cache *c, uint64_t seen)
{
    _Atomic uint32_t *mine = index_pin_of(c, word_segment(seen));
    uint32_t count = atomic_load_explicit(mine, memory_order_relaxed);
    FAULT(unpin);
    atomic_store_explicit(mine, count - !MUTANT(no_pin), memory_order_release);
}

/* ---- looking ---- */

/* Its first lines come while the pin's fence is waited for. */
static void prefetch_item(const struct cache_item *item)
{
    for (int line = 0; line < 4; line++)
        __builtin_prefetch((const char *)item + 64 * line);
}

static bool is_key(const struct cache *c, uint64_t seen, const struct cache_key *key)
{
    return slice_eq(item_key(item_of(c, seen)), key->bytes) || MUTANT(no_key_compare);
}

_Atomic uint64_t *index_find(const struct cache *c, const struct cache_key *key, int *from, uint64_t *seen_out)
{
    uint64_t tag = word_tag(key->hash);
    __builtin_prefetch(word_at(c, key->hash, CACHE_WAYS));
    for (; *from < CACHE_PLACES; ++*from) {
        _Atomic uint64_t *bucket = word_at(c, key->hash, *from / CACHE_WAYS * CACHE_WAYS);
        for (int way = *from % CACHE_WAYS; way < CACHE_WAYS; way++) {
            uint64_t seen = atomic_load_explicit(&bucket[way], memory_order_relaxed); /* index_pin()'s look counts */
            if (seen >> WORD_TAG_SHIFT != tag)
                continue;
            prefetch_item(item_of(c, seen));
            if (!index_pin(c, &bucket[way], seen)) {
                way--; /* it has moved, or was replaced: look again */
                continue;
            }
            if (is_key(c, seen, key)) { /* the full key, always* */
                *from = *from / CACHE_WAYS * CACHE_WAYS + way;
                *seen_out = seen;
                return &bucket[way];
            }
            index_unpin(c, seen);
        }
        *from = *from / CACHE_WAYS * CACHE_WAYS + CACHE_WAYS - 1;
    }
    return NULL;
}

_Atomic uint64_t *index_find_place(const struct cache *c, uint64_t hash, uint64_t place)
{
    for (int i = 0; i < CACHE_PLACES; i++)
        if (word_place(*word_at(c, hash, i)) == place)
            return word_at(c, hash, i);
    return NULL;
}

/* ---- changing: always a CAS of the whole word, since another may clear it meanwhile* ---- */

static bool change(struct cache *c, _Atomic uint64_t *word, uint64_t place, uint64_t to)
{
    for (uint64_t old = *word; word_place(old) == place; old = *word) {
        FAULT(clear_read);
        if (atomic_compare_exchange_strong(word, &old, to)) {
            FAULT(clear_done);
            --*live_of(c, old);
            return true;
        }
        if (MUTANT(clear_once))
            return false;
    }
    return false;
}

bool index_clear(struct cache *c, _Atomic uint64_t *word, uint64_t place)
{
    return change(c, word, place, 0);
}

bool index_move(struct cache *c, _Atomic uint64_t *word, uint64_t place, uint64_t to)
{
    ++*live_of(c, to);
    if (change(c, word, place, to))
        return true;
    --*live_of(c, to);
    return false;
}

void index_raise_freq(_Atomic uint64_t *word, uint64_t seen)
{
    FAULT(freq_read);
    if (MUTANT(blind_freq))
        *word = seen | WORD_FREQ_ONE;
    else if (word_freq(seen) < CACHE_FREQ_MAX)
        atomic_compare_exchange_strong(word, &seen, seen + WORD_FREQ_ONE);
}

/* ---- publishing ---- */

struct bucket_look {
    int empty; /* how many */
    int first; /* the first empty place; -1: none */
    int least; /* the place of the least used item; -1: none */
    uint64_t least_word;
};

static struct bucket_look look(const struct cache *c, uint64_t hash, int from)
{
    struct bucket_look b = {0, -1, -1, 0};
    for (int i = from; i < from + CACHE_WAYS; i++) {
        uint64_t word = *word_at(c, hash, i);
        if (word == 0) {
            b.empty++;
            b.first = b.first < 0 ? i : b.first;
        } else if (b.least < 0 || word_freq(word) < word_freq(b.least_word)) {
            b.least = i;
            b.least_word = word;
        }
    }
    return b;
}

/* A place in the emptier bucket, else that of the least used item of both. */
static bool insert(struct cache *c, uint64_t hash, uint64_t to)
{
    for (int tries = 0; tries < CACHE_WAYS; tries++) {
        const struct bucket_look one = look(c, hash, 0), two = look(c, hash, CACHE_WAYS);
        int place = one.empty >= two.empty ? one.first : two.first;
        uint64_t old = 0;
        if (place >= 0 && atomic_compare_exchange_strong(word_at(c, hash, place), &old, to))
            return true;
        if (place >= 0)
            continue;
        const struct bucket_look *b = word_freq(one.least_word) <= word_freq(two.least_word) ? &one : &two;
        if (change(c, word_at(c, hash, b->least), word_place(b->least_word), to)) {
            c->header->evicted++;
            return true;
        }
    }
    return false;
}

static bool is_newer(const struct cache *c, const struct cache_item *item, uint64_t born_seq)
{
    return item->born_seq > born_seq && item_valid(c, item) && !MUTANT(late_wins);
}

/* Who finds the key takes its place. The pin stays until after the CAS: the place cannot have come to mean another item
 * with the same bits. */
enum replaced { REPLACED_NONE, REPLACED_ONE, REPLACED_REFUSED };

static enum replaced replace(struct cache *c, const struct cache_key *key, uint64_t to, uint64_t born_seq)
{
    uint64_t seen;
    _Atomic uint64_t *word;
    for (int from = 0; (word = index_find(c, key, &from, &seen)) != NULL; from++) {
        bool newer = is_newer(c, item_of(c, seen), born_seq);
        bool done = !newer && change(c, word, word_place(seen), to | (seen & WORD_FREQ_MASK));
        index_unpin(c, seen);
        if (newer || done)
            return newer ? REPLACED_REFUSED : REPLACED_ONE;
    }
    return REPLACED_NONE;
}

/* Two processes may enter a key at a time, each into a place of its own. At least the later one sees both, and all
 * agree on which one stays: the one born later, and of two born at once the one of the greater place. */
static void settle(struct cache *c, const struct cache_key *key, uint64_t mine, uint64_t born_seq)
{
    uint64_t seen;
    _Atomic uint64_t *word;
    for (int from = 0; (word = index_find(c, key, &from, &seen)) != NULL; from++) {
        uint64_t place = word_place(seen), its_born_seq = item_of(c, seen)->born_seq;
        bool greater = its_born_seq > born_seq || (its_born_seq == born_seq && place > mine);
        /* When another has taken our place already, there is nothing of ours to settle. */
        _Atomic uint64_t *own = place != mine ? index_find_place(c, key->hash, mine) : NULL;
        if (own != NULL && greater)
            index_clear(c, own, mine);
        else if (own != NULL)
            index_clear(c, word, place);
        index_unpin(c, seen);
    }
}

bool index_publish(struct cache *c, const struct cache_key *key, uint64_t word, uint64_t born_seq)
{
    ++*live_of(c, word);
    FAULT(publish_counted);
    enum replaced replaced = replace(c, key, word, born_seq);
    if (replaced == REPLACED_REFUSED || (replaced == REPLACED_NONE && !insert(c, key->hash, word))) {
        --*live_of(c, word);
        return false;
    }
    FAULT(publish_settling);
    if (!MUTANT(no_settle))
        settle(c, key, word, born_seq);
    return true;
}
