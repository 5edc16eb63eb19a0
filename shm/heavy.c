#include "shm/heavy.h"
#include "shm/fault.h"
#include "shm/stats.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { OWNER_BITS = 8, TRIES = 8, WORDS = 16, OWNERS = (1 << OWNER_BITS) - 1 };

/* As it is told. */
struct label {
    uint32_t row;
    uint16_t len;
    uint16_t cut;
    char text[HEAVY_TEXT_BYTES];
};
_Static_assert(sizeof(struct label) == WORDS * sizeof(uint64_t), "a label is copied by words");

/* Side by side what is looked through for each text. `words`: how often the entry changed << OWNER_BITS, plus its
 * writer's proc + 1 while it is being changed. */
struct heavy {
    uint64_t total, floor;
    uint64_t unused[6];
    uint64_t ids[HEAVY_ENTRIES]; /* 0: none */
    uint64_t counts[HEAVY_ENTRIES];
    uint64_t errors[HEAVY_ENTRIES];
    _Atomic uint64_t words[HEAVY_ENTRIES];
    uint64_t labels[HEAVY_ENTRIES][WORDS];
};
_Static_assert(sizeof(struct heavy) == 64 + HEAVY_ENTRIES * HEAVY_RECORD_BYTES, "what a section says of it");

size_t heavy_bytes(void)
{
    return sizeof(struct heavy);
}

static uint64_t load(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void store(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static void add(uint64_t *at, uint64_t n)
{
    __atomic_fetch_add(at, n, __ATOMIC_RELAXED);
}

/* ---- adding ---- */

static uint64_t id_of(int row, struct slice text)
{
    uint64_t id = XXH3_64bits_withSeed(text.at, text.len, (uint64_t)row);
    return id != 0 ? id : 1;
}

static int find(const struct heavy *h, uint64_t id)
{
    for (int i = 0; i < HEAVY_ENTRIES; i++)
        if (load(&h->ids[i]) == id)
            return i;
    return -1;
}

/* What has come least often; a free one came not at all. */
static int find_least(const struct heavy *h)
{
    uint64_t least = load(&h->counts[0]);
    int found = 0;
    for (int i = 1; i < HEAVY_ENTRIES; i++) {
        uint64_t count = load(&h->counts[i]);
        found = count < least ? i : found;
        least = MIN(least, count);
    }
    return found;
}

static void write_label(uint64_t to[static WORDS], int row, struct slice text)
{
    struct label label = {.row = (uint32_t)row};
    uint64_t words[WORDS];
    label.len = (uint16_t)MIN(text.len, sizeof label.text - 1);
    label.cut = label.len < text.len;
    memcpy(label.text, text.at, label.len);
    memcpy(words, &label, sizeof words);
    for (int i = 0; i < WORDS; i++)
        store(&to[i], words[i]);
}

/* What is dropped may come again: from now on floor is what it has come at most. */
static uint64_t drop(struct heavy *h, int i)
{
    if (load(&h->ids[i]) != 0)
        store(&h->floor, MAX(load(&h->floor), load(&h->counts[i])));
    store(&h->ids[i], 0);
    return load(&h->floor);
}

static bool claim(struct heavy *h, int i, int proc, uint64_t *word)
{
    *word = atomic_load_explicit(&h->words[i], memory_order_relaxed);
    uint64_t free_word = *word, claimed = *word | (uint64_t)(proc + 1);
    if ((*word & OWNERS) != 0)
        return false;
    FAULT(heavy_free);
    if (MUTANT(claim_blind))
        free_word = h->words[i];
    return atomic_compare_exchange_strong(&h->words[i], &free_word, claimed);
}

static uint64_t next_word(uint64_t word)
{
    return ((word >> OWNER_BITS) + 1) << OWNER_BITS;
}

void heavy_add(struct heavy *h, int proc, int row, struct slice text, uint64_t times)
{
    uint64_t id = id_of(row, text), word;
    int i = find(h, id);
    add(&h->total, times);
    if (i >= 0) {
        add(&h->counts[i], times);
        return;
    }
    i = find_least(h);
    if (!claim(h, i, proc, &word))
        return; /* another process is at it, dead perhaps: one sample is lost */
    atomic_thread_fence(memory_order_release);
    uint64_t before = drop(h, i);
    store(&h->errors[i], before);
    store(&h->counts[i], before + times);
    FAULT(heavy_counted);
    write_label(h->labels[i], row, text);
    store(&h->ids[i], id);
    atomic_store_explicit(&h->words[i], next_word(word), memory_order_release);
}

static void reap(struct heavy *h, int proc)
{
    for (int i = 0; i < HEAVY_ENTRIES; i++) {
        uint64_t word = atomic_load_explicit(&h->words[i], memory_order_relaxed);
        if ((word & OWNERS) != (uint64_t)(proc + 1))
            continue;
        (void)drop(h, i);
        store(&h->counts[i], 0);
        atomic_store_explicit(&h->words[i], next_word(word), memory_order_release);
    }
}

void heavy_reap(const struct stats *stats, int proc)
{
    for (int slot = 0; slot < stats_slots(stats); slot++)
        for (int i = 0; i < SLOT_SECTION_COUNT; i++)
            reap(stats_slot_section(stats, slot, (enum stats_slot_section)i), proc);
}

/* ---- reading ---- */

static bool read_entry(const struct heavy *h, int i, struct heavy_item *out)
{
    struct label label;
    uint64_t words[WORDS];
    uint64_t word = atomic_load_explicit(&h->words[i], memory_order_acquire);
    *out = (struct heavy_item){.id = load(&h->ids[i]), .count = load(&h->counts[i]), .error = load(&h->errors[i])};
    for (int w = 0; w < WORDS; w++)
        words[w] = load(&h->labels[i][w]);
    atomic_thread_fence(memory_order_acquire);
    if ((word & OWNERS) != 0 || atomic_load_explicit(&h->words[i], memory_order_relaxed) != word)
        return false;
    memcpy(&label, words, sizeof label);
    out->row = (int)(label.row & INT32_MAX);
    out->cut = label.cut;
    out->error = MIN(out->error, out->count);
    memcpy(out->text, label.text, MIN(label.len, sizeof out->text - 1));
    return true;
}

void heavy_read(const struct heavy *h, struct heavy_summary *out)
{
    out->total = load(&h->total);
    out->count = 0;
    for (int i = 0; i < HEAVY_ENTRIES; i++) {
        struct heavy_item *item = &out->items[out->count];
        for (int tries = 0; tries < TRIES; tries++)
            if (read_entry(h, i, item)) {
                out->count += item->id != 0;
                break;
            }
    }
    out->floor = load(&h->floor); /* last: what was dropped while we read is not above it */
}

/* ---- windows ---- */

static const struct heavy_item *item_of(const struct heavy_summary *s, uint64_t id)
{
    for (int i = 0; i < s->count; i++)
        if (s->items[i].id == id)
            return &s->items[i];
    return NULL;
}

/* A count, floor where there is none, grows by all that comes, also when an entry is dropped and made anew. What stayed
 * an entry has been counted exactly meanwhile: its error is no more than its count was. */
void heavy_subtract(struct heavy_summary *later, const struct heavy_summary *earlier)
{
    for (int i = 0; i < later->count; i++) {
        struct heavy_item *item = &later->items[i];
        const struct heavy_item *old = item_of(earlier, item->id);
        uint64_t base = MIN(old != NULL ? old->count : earlier->floor, item->count), settled = MIN(item->error, base);
        item->count -= base;
        item->error = MIN(item->error - settled, item->count);
    }
    later->total -= MIN(later->total, earlier->total);
    later->floor -= MIN(later->floor, earlier->floor);
}

/* ---- several as one ---- */

static uint64_t surely(const struct heavy_item *item)
{
    return item->count - item->error;
}

static int most_first(const void *a, const void *b)
{
    const struct heavy_item *one = a, *other = b;
    if (surely(one) != surely(other))
        return surely(one) < surely(other) ? 1 : -1;
    if (one->count != other->count)
        return one->count < other->count ? 1 : -1;
    return one->row != other->row ? one->row - other->row : strcmp(one->text, other->text);
}

static int by_id(const void *a, const void *b)
{
    const struct heavy_item *one = a, *other = b;
    return one->id == other->id ? 0 : one->id < other->id ? -1 : 1;
}

/* Each summary's floor is in count and error by now, in the place of what it has of the item itself. */
static void fold(struct heavy_list *list, uint64_t floors)
{
    int count = 0;
    qsort(list->items, (size_t)list->count, sizeof list->items[0], by_id);
    for (int i = 0; i < list->count; i++) {
        struct heavy_item *item = &list->items[i], *last = count > 0 ? &list->items[count - 1] : NULL;
        if (last != NULL && last->id == item->id) {
            last->count += item->count;
            last->error += item->error;
        } else {
            list->items[count] = *item;
            list->items[count].count += floors;
            list->items[count++].error += floors;
        }
    }
    list->count = count;
}

struct heavy_list *heavy_merge(const struct heavy_summary *summaries, int count)
{
    uint64_t floors = 0;
    struct heavy_list *list = xcalloc(1, sizeof *list + (size_t)count * HEAVY_ENTRIES * sizeof list->items[0]);
    for (int i = 0; i < count; i++)
        floors += summaries[i].floor;
    for (int i = 0; i < count; i++) {
        list->total += summaries[i].total;
        for (int j = 0; j < summaries[i].count; j++) {
            struct heavy_item *item = &list->items[list->count++];
            *item = summaries[i].items[j];
            /* Modulo 2^64, as the floors of all are added once. */
            item->count -= summaries[i].floor;
            item->error -= summaries[i].floor;
        }
    }
    fold(list, floors);
    qsort(list->items, (size_t)list->count, sizeof list->items[0], most_first);
    return list;
}
