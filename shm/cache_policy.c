#include "shm/cache_layout.h"

#include <stdatomic.h>

/* ---- ghost: fingerprints of what the small queue dropped ---- */

enum { GHOST_LIFE = 1 << 12 };

/* A word is fingerprint 16 | tick 16, in sets of eight. The tick counts parts of the ghost's length, which is 0.9 x the
 * entries; a word older than that is as good as free. */
static uint16_t ghost_tick(const struct cache *c)
{
    uint64_t length = MAX(c->entries_max * 9 / 10, UINT64_C(1));
    return (uint16_t)(c->header->ghost_adds * GHOST_LIFE / length);
}

static bool ghost_alive(const struct cache *c, uint32_t word)
{
    return word != 0 && (uint16_t)(ghost_tick(c) - (uint16_t)word) < GHOST_LIFE;
}

static _Atomic uint32_t *ghost_set(const struct cache *c, uint64_t hash)
{
    return &c->ghost[spread((uint32_t)(hash >> 16), c->ghost_sets) * CACHE_GHOST_WAYS];
}

static uint32_t ghost_print(uint64_t hash)
{
    return (uint32_t)(hash >> 48 | 1) << 16;
}

void ghost_add(struct cache *c, uint64_t hash)
{
    _Atomic uint32_t *set = ghost_set(c, hash), *oldest = set;
    uint16_t tick = ghost_tick(c), age = 0;
    c->header->ghost_adds++;
    for (int i = 0; i < CACHE_GHOST_WAYS; i++) {
        uint32_t word = set[i];
        uint16_t its_age = word == 0 ? UINT16_MAX : (uint16_t)(tick - (uint16_t)word);
        if (its_age >= age) {
            age = its_age;
            oldest = &set[i];
        }
    }
    *oldest = ghost_print(hash) | tick;
}

bool ghost_take(struct cache *c, uint64_t hash)
{
    _Atomic uint32_t *set = ghost_set(c, hash);
    for (int i = 0; i < CACHE_GHOST_WAYS; i++) {
        uint32_t word = set[i];
        if (word >> 16 << 16 == ghost_print(hash) && ghost_alive(c, word))
            return atomic_compare_exchange_strong(&set[i], &word, 0);
    }
    return false;
}

/* ---- sketch: count-min of four rows of 4-bit counters, halved every so often ---- */

/* A key's four counters stand in one cache line, a row in each quarter of it: one miss, not four. */
enum { SKETCH_ROWS = 4, SKETCH_MOST = 15, SKETCH_AGE_FACTOR = 10, ROW_BITS = 5, ROW_COUNTERS = 1 << ROW_BITS };
/* A process tells the others of its adds by so many, since all write the same word. */
enum { SKETCH_TOLD = 32 };

static _Atomic uint8_t *sketch_line(const struct cache *c, uint64_t mixed)
{
    return &c->sketch[spread((uint32_t)(mixed >> 32), c->sketch_bytes / CACHE_SKETCH_LINE) * CACHE_SKETCH_LINE];
}

static uint64_t sketch_mix(uint64_t hash)
{
    return hash * UINT64_C(0xff51afd7ed558ccd);
}

struct counter {
    _Atomic uint8_t *cell;
    int shift;
};

static struct counter counter_of(_Atomic uint8_t *line, uint64_t mixed, int row)
{
    unsigned i = (unsigned)(mixed >> row * ROW_BITS) % ROW_COUNTERS + (unsigned)row * ROW_COUNTERS;
    return (struct counter){&line[i / 2], i % 2 ? 4 : 0};
}

static unsigned value_of(struct counter counter)
{
    return atomic_load_explicit(counter.cell, memory_order_relaxed) >> counter.shift & SKETCH_MOST;
}

/* The last of the adds that make an age halves all; meanwhile others add, and what they lose costs accuracy alone, as
 * does an update that two processes make at once. */
static void sketch_age(struct cache *c)
{
    for (uint32_t i = 0; i < c->sketch_bytes; i++)
        atomic_store_explicit(&c->sketch[i], c->sketch[i] >> 1 & 0x77, memory_order_relaxed);
}

static void count_add(struct cache *c)
{
    uint64_t age = SKETCH_AGE_FACTOR * MAX(c->entries_max, UINT64_C(1));
    if (++c->sketch_untold < SKETCH_TOLD)
        return;
    uint64_t before = atomic_fetch_add(&c->header->sketch_adds, c->sketch_untold);
    if (before / age != (before + c->sketch_untold) / age)
        sketch_age(c);
    c->sketch_untold = 0;
}

void sketch_add(struct cache *c, uint64_t hash)
{
    uint64_t mixed = sketch_mix(hash);
    _Atomic uint8_t *line = sketch_line(c, mixed);
    unsigned least = sketch_estimate(c, hash);
    for (int row = 0; row < SKETCH_ROWS && least < SKETCH_MOST; row++) {
        struct counter counter = counter_of(line, mixed, row);
        if (value_of(counter) == least)
            atomic_store_explicit(counter.cell, (uint8_t)(*counter.cell + (1 << counter.shift)), memory_order_relaxed);
    }
    count_add(c);
}

unsigned sketch_estimate(const struct cache *c, uint64_t hash)
{
    uint64_t mixed = sketch_mix(hash);
    _Atomic uint8_t *line = sketch_line(c, mixed);
    unsigned least = SKETCH_MOST;
    for (int row = 0; row < SKETCH_ROWS; row++)
        least = MIN(least, value_of(counter_of(line, mixed, row)));
    return least;
}
