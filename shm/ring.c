#include "shm/ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = RING_RECORD_MAX / sizeof(uint64_t), OWNER_BITS = 8, TRIES = 8 };

/* `word` is number << OWNER_BITS, plus the writer's proc + 1 while it writes; 0: nothing is there. The record is copied
 * by words, so that a reader who meets a writer reads old and new, not nonsense, and then sees that word has changed.
 */
struct slot {
    _Atomic uint64_t word;
    _Atomic uint64_t words[];
};

struct ring {
    _Atomic uint64_t last; /* number given */
    uint64_t unused[7];
};

static size_t slot_bytes(struct ring_shape shape)
{
    CHECK(shape.record_bytes % sizeof(uint64_t) == 0 && shape.record_bytes <= RING_RECORD_MAX);
    return sizeof(struct slot) + shape.record_bytes;
}

size_t ring_bytes(struct ring_shape shape)
{
    return sizeof(struct ring) + (size_t)shape.records * slot_bytes(shape);
}

static const struct slot *slot_at(const struct ring *ring, struct ring_shape shape, uint64_t number)
{
    const char *slots = (const char *)(ring + 1);
    return (const struct slot *)(const void *)(slots + number % (uint64_t)shape.records * slot_bytes(shape));
}

/* The same, of who may write. */
static struct slot *own_slot_at(struct ring *ring, struct ring_shape shape, uint64_t number)
{
    char *slots = (char *)(ring + 1);
    return (struct slot *)(void *)(slots + number % (uint64_t)shape.records * slot_bytes(shape));
}

static uint64_t owner_of(uint64_t word)
{
    return word & ((UINT64_C(1) << OWNER_BITS) - 1);
}

/* False: another writer is in it, dead perhaps. */
static bool claim(struct slot *slot, uint64_t number, int proc)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    uint64_t claimed = number << OWNER_BITS | (uint64_t)(proc + 1);
    return owner_of(word) == 0 && word >> OWNER_BITS < number &&
           atomic_compare_exchange_strong(&slot->word, &word, claimed);
}

uint64_t ring_add(struct ring *ring, struct ring_shape shape, int proc, const void *record)
{
    uint64_t words[WORDS_MAX], number = 0;
    struct slot *slot = NULL;
    for (int i = 0; i < TRIES && slot == NULL; i++) {
        number = atomic_fetch_add_explicit(&ring->last, 1, memory_order_relaxed) + 1;
        struct slot *next = own_slot_at(ring, shape, number);
        slot = claim(next, number, proc) ? next : NULL;
    }
    if (slot == NULL)
        return 0;
    atomic_thread_fence(memory_order_release); /* the claim is seen before any word */
    memcpy(words, record, shape.record_bytes);
    words[0] = number;
    for (size_t i = 0; i < shape.record_bytes / sizeof(uint64_t); i++)
        atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&slot->word, number << OWNER_BITS, memory_order_release);
    return number;
}

void ring_reap(struct ring *ring, struct ring_shape shape, int proc)
{
    for (uint64_t i = 0; i < (uint64_t)shape.records; i++) {
        struct slot *slot = own_slot_at(ring, shape, i);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        if (owner_of(word) == (uint64_t)(proc + 1))
            atomic_compare_exchange_strong(&slot->word, &word, 0);
    }
}

static bool read_slot(const struct slot *slot, struct ring_shape shape, void *out)
{
    uint64_t words[WORDS_MAX];
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (word == 0 || owner_of(word) != 0)
        return false;
    for (size_t i = 0; i < shape.record_bytes / sizeof(uint64_t); i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    memcpy(out, words, shape.record_bytes);
    return atomic_load_explicit(&slot->word, memory_order_relaxed) == word;
}

static int later_first(const void *a, const void *b)
{
    uint64_t one, other;
    memcpy(&one, a, sizeof one);
    memcpy(&other, b, sizeof other);
    return one < other ? 1 : one > other ? -1 : 0;
}

int ring_read(const struct ring *ring, struct ring_shape shape, void *out)
{
    int count = 0;
    for (uint64_t i = 0; i < (uint64_t)shape.records; i++)
        count += read_slot(slot_at(ring, shape, i), shape, (char *)out + (size_t)count * shape.record_bytes);
    qsort(out, (size_t)count, shape.record_bytes, later_first);
    return count;
}
