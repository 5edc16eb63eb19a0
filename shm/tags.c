#include "shm/tags.h"
#include "shm/fault.h"

#include <stdatomic.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SLOTS = 1 << 20 };

struct tags {
    _Atomic uint64_t global_seq;
    _Atomic uint64_t epoch;
    _Atomic uint64_t redis_owed; /* both only grow, so that a payment of long ago clears nothing newer */
    _Atomic uint64_t redis_paid;
    _Atomic uint64_t seq[SLOTS];
};

size_t tags_bytes(void)
{
    return sizeof(struct tags);
}

uint32_t tags_slot(struct slice tag)
{
    return (uint32_t)(XXH3_64bits(tag.at, tag.len) % SLOTS);
}

uint64_t tags_now(struct tags *tags)
{
    return atomic_load(&tags->global_seq);
}

/* Two that raise the same slot may come out of order; the later number must stay. */
static void raise_to(_Atomic uint64_t *word, uint64_t seq)
{
    uint64_t old = atomic_load(word);
    if (MUTANT(plain_raise))
        atomic_store(word, seq);
    while (old < seq && !atomic_compare_exchange_weak(word, &old, seq)) {
    }
}

void tags_raise(struct tags *tags, const uint32_t *slots, int count)
{
    uint64_t seq = atomic_fetch_add(&tags->global_seq, 1) + 1;
    FAULT(tags_numbered);
    for (int i = 0; i < count; i++) {
        raise_to(&tags->seq[slots[i] % SLOTS], seq);
        FAULT(tags_raised);
    }
}

void tags_raise_epoch(struct tags *tags)
{
    raise_to(&tags->epoch, atomic_fetch_add(&tags->global_seq, 1) + 1);
}

bool tags_valid(struct tags *tags, uint64_t born_seq, const uint32_t *slots, int count)
{
    if (atomic_load(&tags->epoch) > born_seq)
        return false;
    for (int i = 0; i < count; i++)
        if (atomic_load(&tags->seq[slots[i] % SLOTS]) > born_seq)
            return false;
    return true;
}

void tags_owe_redis(struct tags *tags)
{
    atomic_fetch_add(&tags->redis_owed, 1);
}

uint64_t tags_redis_debt(struct tags *tags)
{
    uint64_t owed = atomic_load(&tags->redis_owed);
    return owed > atomic_load(&tags->redis_paid) ? owed : 0;
}

void tags_redis_paid(struct tags *tags, uint64_t debt)
{
    raise_to(&tags->redis_paid, debt);
}
