#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <string.h>

/* Two choices of bucket, from different bits; a word never changes its bucket. */
static struct cache_bucket *bucket_at(const struct cache *c, uint64_t hash, int choice)
{
    return &c->buckets[spread((uint32_t)(choice == 0 ? hash : hash >> 32), c->bucket_count)];
}

static _Atomic uint64_t *word_at(const struct cache *c, uint64_t hash, int place)
{
    return &bucket_at(c, hash, place / CACHE_WAYS)->words[place % CACHE_WAYS];
}

static _Atomic int16_t *live_of(const struct cache *c, uint64_t word)
{
    return &c->segments[word_segment(word)].live;
}

/* ---- pins: how many reads a process has under way in a segment. Only that process writes its row. ---- */

/* The add is the fence without which the second look may come before the pin is to be seen, and without the second look
 * the segment may have been freed before it*. */
_Atomic uint32_t *index_pin(const struct cache *c, const _Atomic uint64_t *word, uint64_t seen)
{
    _Atomic uint32_t *pin = &index_pins(c)[word_segment(seen)];
    FAULT(pin_loaded);
    atomic_fetch_add(pin, !MUTANT(no_pin));
    FAULT(pin_stored);
    if (!MUTANT(no_reload) && word_place(*word) != word_place(seen)) {
        index_unpin(pin);
        return NULL;
    }
    FAULT(pin_held);
    return pin;
}

void index_unpin(_Atomic uint32_t *pin)
{
    uint32_t count = atomic_load_explicit(pin, memory_order_relaxed);
    FAULT(unpin);
    atomic_store_explicit(pin, count - !MUTANT(no_pin), memory_order_release);
}

/* ---- looking ---- */

/* Its first lines come while the pin is waited for. */
static void prefetch_item(const struct cache_item *item)
{
    for (int line = 0; line < 4; line++)
        __builtin_prefetch((const char *)item + 64 * line);
}

/* The places whose words have this tag, one bit each. Where a key stands cannot be foretold, so a branch at each of
 * them would be missed more often than not: all are compared at once, by the upper halves of their words. A word may
 * change meanwhile; what index_pin() sees counts. */
typedef uint32_t lanes __attribute__((vector_size(16), may_alias));
enum { UPPER = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, LANES = sizeof(lanes) / sizeof(uint32_t) };

static lanes uppers(const lanes *pairs)
{
    return __builtin_shuffle(pairs[0], pairs[1], (lanes){UPPER, 2 + UPPER, 4 + UPPER, 6 + UPPER});
}

static unsigned matches(struct cache_bucket *const choices[2], uint64_t tag)
{
    lanes wanted = (lanes){0} + (uint32_t)tag, bits = {1, 2, 4, 8}, found = {0};
#pragma GCC unroll 4
    for (int half = 0; half < CACHE_PLACES / LANES; half++) {
        const lanes *words = (const lanes *)(const void *)choices[half / 2] + half % 2 * 2;
        found |= (lanes)(uppers(words) >> (WORD_TAG_SHIFT - 32) == wanted) & bits << half * LANES;
    }
    return found[0] | found[1] | found[2] | found[3];
}

static bool is_key(const struct cache_item *item, const struct cache_key *key)
{
    return slice_eq(item_key(item), key->bytes) || MUTANT(no_key_compare);
}

bool index_find(const struct cache *c, const struct cache_key *key, struct index_look *look)
{
    struct cache_bucket *choices[] = {bucket_at(c, key->hash, 0), bucket_at(c, key->hash, 1)};
    uint64_t tag = word_tag(key->hash);
    unsigned places = matches(choices, tag) & ~0u << look->place;
    for (; places != 0; places &= places - 1) {
        look->place = __builtin_ctz(places);
        look->word = &choices[look->place / CACHE_WAYS]->words[look->place % CACHE_WAYS];
        do { /* until it stays what it is under the pin: it may be moved or replaced meanwhile */
            look->seen = atomic_load_explicit(look->word, memory_order_relaxed);
            look->item = item_of(c, look->seen);
            if (look->seen >> WORD_TAG_SHIFT != tag)
                break;
            prefetch_item(look->item);
            look->pin = index_pin(c, look->word, look->seen);
        } while (look->pin == NULL);
        if (look->seen >> WORD_TAG_SHIFT != tag)
            continue;
        if (is_key(look->item, key)) /* the full key, always* */
            return true;
        index_unpin(look->pin);
    }
    return false;
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

void index_evicted(struct cache *c, const struct cache_item *item)
{
    c->header->evicted++;
    if (c->evicted != NULL)
        c->evicted(c->evicted_arg, item_key(item));
}

/* It stays until it was told whose place is taken. */
static bool evict(struct cache *c, _Atomic uint64_t *word, uint64_t seen, uint64_t to)
{
    _Atomic uint32_t *pin = index_pin(c, word, seen);
    if (pin == NULL)
        return false;
    bool done = change(c, word, word_place(seen), to);
    if (done)
        index_evicted(c, item_of(c, seen));
    index_unpin(pin);
    return done;
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
        if (evict(c, word_at(c, hash, b->least), b->least_word, to))
            return true;
    }
    return false;
}

/* Of two values of a key the one that was born later counts, and of two born at once the one made later: where they lie
 * decides nothing, since a move changes that. */
static bool is_later(const struct cache_item *one, const struct cache_item *two)
{
    return one->born_seq != two->born_seq ? one->born_seq > two->born_seq : one->created_us > two->created_us;
}

/* Who finds the key takes its place. The pin stays until after the CAS: the place cannot have come to mean another item
 * with the same bits. */
enum replaced { REPLACED_NONE, REPLACED_ONE, REPLACED_REFUSED };

static enum replaced replace(struct cache *c, const struct cache_key *key, const struct cache_item *item, uint64_t to)
{
    for (struct index_look at = {0}; index_find(c, key, &at); at.place++) {
        bool refused = is_later(at.item, item) && item_valid(c, at.item) && !MUTANT(late_wins);
        bool done = !refused && change(c, at.word, word_place(at.seen), to | (at.seen & WORD_FREQ_MASK));
        index_unpin(at.pin);
        if (refused || done)
            return refused ? REPLACED_REFUSED : REPLACED_ONE;
    }
    return REPLACED_NONE;
}

/* Two processes may enter a key at a time, each into a place of its own. At least the later one sees both, and all
 * agree on which one stays; two made at once both stay. */
static void settle(struct cache *c, const struct cache_key *key, const struct cache_item *item, uint64_t mine)
{
    for (struct index_look at = {0}; index_find(c, key, &at); at.place++) {
        bool yields = is_later(at.item, item);
        _Atomic uint64_t *own = yields ? index_find_place(c, key->hash, mine) : NULL;
        if (own != NULL)
            index_clear(c, own, mine);
        else if (is_later(item, at.item))
            index_clear(c, at.word, word_place(at.seen));
        index_unpin(at.pin);
    }
}

bool index_publish(struct cache *c, const struct cache_key *key, const struct cache_item *item, uint64_t word)
{
    ++*live_of(c, word);
    FAULT(publish_counted);
    enum replaced replaced = replace(c, key, item, word);
    if (replaced == REPLACED_REFUSED || (replaced == REPLACED_NONE && !insert(c, key->hash, word))) {
        --*live_of(c, word);
        return replaced == REPLACED_REFUSED;
    }
    FAULT(publish_settling);
    if (!MUTANT(no_settle))
        settle(c, key, item, word);
    return true;
}
