#include "shm/tags.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SLOTS = 1 << 20, GROUP_SLOTS = 64 };

struct tags {
    _Atomic uint64_t global_seq;
    _Atomic uint64_t epoch;
    _Atomic uint32_t redis_owed; /* only grows, so that a payment of long ago clears nothing newer */
    _Atomic uint64_t redis_paid; /* server 32 | debt 32: one word, so that two servers are never taken for each other */
    _Atomic uint64_t sender;
    _Atomic uint32_t relied;
    _Atomic int64_t heard_us;
    _Atomic uint32_t listen_tried;
    _Atomic int64_t doubt_us;
    _Atomic uint64_t redis;
    _Atomic uint64_t group_seq[SLOTS / GROUP_SLOTS]; /* at least the greatest of its slots' */
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
        uint32_t slot = slots[i] % SLOTS;
        if (!MUTANT(no_group))
            raise_to(&tags->group_seq[slot / GROUP_SLOTS], seq);
        FAULT(tags_grouped);
        raise_to(&tags->seq[slot], seq);
        FAULT(tags_raised);
    }
}

void tags_raise_epoch(struct tags *tags)
{
    raise_to(&tags->epoch, atomic_fetch_add(&tags->global_seq, 1) + 1);
}

/* No number is greater, so that whoever looks finds everything raised. */
void tags_suspend(struct tags *tags)
{
    atomic_store(&tags->epoch, UINT64_MAX);
}

void tags_resume(struct tags *tags)
{
    atomic_store(&tags->epoch, atomic_fetch_add(&tags->global_seq, 1) + 1);
}

bool tags_suspended(const struct tags *tags)
{
    return tags->epoch == UINT64_MAX;
}

/* The groups' 128 KB stay in a CPU's cache, the slots' 8 MB do not, and few groups have been raised since an entry was
 * born: most hits need not wait for the slot. */
static bool is_raised(const struct tags *tags, uint32_t slot, uint64_t born_seq)
{
    return atomic_load(&tags->group_seq[slot / GROUP_SLOTS]) > born_seq && atomic_load(&tags->seq[slot]) > born_seq;
}

bool tags_valid(struct tags *tags, uint64_t born_seq, const uint32_t *slots, int count)
{
    if (atomic_load(&tags->epoch) > born_seq)
        return false;
    for (int i = 0; i < count; i++)
        if (is_raised(tags, slots[i] % SLOTS, born_seq))
            return false;
    return true;
}

/* ---- what masters leave to each other ---- */

void tags_set_doubt(struct tags *tags, int64_t until_us)
{
    int64_t old = tags->doubt_us;
    while (old < until_us && !atomic_compare_exchange_weak(&tags->doubt_us, &old, until_us)) {
    }
}

int64_t tags_doubt_us(const struct tags *tags)
{
    return tags->doubt_us;
}

bool tags_end_doubt(struct tags *tags, int64_t until_us)
{
    return atomic_compare_exchange_strong(&tags->doubt_us, &until_us, 0);
}

void tags_set_redis(struct tags *tags, uint64_t name)
{
    tags->redis = name;
}

uint64_t tags_redis(const struct tags *tags)
{
    return tags->redis;
}

/* ---- Redis ---- */

void tags_owe_redis(struct tags *tags)
{
    atomic_fetch_add(&tags->redis_owed, 1);
}

uint32_t tags_redis_debt(const struct tags *tags)
{
    return tags->redis_owed;
}

static uint64_t receipt(uint32_t server, uint32_t debt)
{
    return (uint64_t)server << 32 | debt;
}

bool tags_redis_clean(const struct tags *tags, uint32_t server)
{
    return tags->redis_paid == receipt(server, tags->redis_owed);
}

uint32_t tags_redis_server(const struct tags *tags)
{
    return (uint32_t)(tags->redis_paid >> 32);
}

bool tags_redis_is_paid(const struct tags *tags)
{
    uint32_t server = tags_redis_server(tags);
    return server != 0 && tags_redis_clean(tags, server);
}

uint64_t tags_redis_receipt(const struct tags *tags)
{
    return tags->redis_paid;
}

void tags_redis_paid(struct tags *tags, uint64_t seen, uint32_t server, uint32_t debt)
{
    atomic_compare_exchange_strong(&tags->redis_paid, &seen, receipt(server, debt));
}

void tags_rely(struct tags *tags, enum tags_source source)
{
    atomic_fetch_or(&tags->relied, (uint32_t)source);
}

bool tags_relied(const struct tags *tags, enum tags_source source)
{
    return (tags->relied & (uint32_t)source) != 0;
}

uint64_t tags_sender(struct tags *tags)
{
    uint64_t none = 0, mine;
    CHECK(getrandom(&mine, sizeof mine, 0) == sizeof mine);
    atomic_compare_exchange_strong(&tags->sender, &none, mine | 1);
    return tags->sender;
}

int64_t tags_heard_us(const struct tags *tags)
{
    return tags->heard_us;
}

const _Atomic int64_t *tags_heard_word(const struct tags *tags)
{
    return &tags->heard_us;
}

void tags_set_heard(struct tags *tags, int64_t until_us)
{
    int64_t old = tags->heard_us;
    while (old < until_us && !atomic_compare_exchange_weak(&tags->heard_us, &old, until_us)) {
    }
}

bool tags_listen_tried(const struct tags *tags)
{
    return tags->listen_tried;
}

void tags_set_listen_tried(struct tags *tags)
{
    tags->listen_tried = 1;
}
