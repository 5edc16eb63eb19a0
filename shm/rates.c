#include "shm/rates.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <sys/random.h>
#include <xxhash.h>

enum { SETS = 16384, WAYS = 8, NS_PER_US = 1000 };

struct entry {
    _Atomic uint64_t key;    /* 0: nobody's yet */
    _Atomic int64_t full_ns; /* CLOCK_MONOTONIC */
};

struct set {
    struct entry ways[WAYS];
};
_Static_assert(sizeof(struct set) == RATES_SET_BYTES, "a set is two cache lines");

struct rates {
    struct set sets[SETS];
    uint64_t secret;
};

size_t rates_bytes(void)
{
    return (sizeof(struct rates) + RATES_SET_BYTES - 1) / RATES_SET_BYTES * RATES_SET_BYTES;
}

void rates_init(struct rates *rates)
{
    CHECK(getrandom(&rates->secret, sizeof rates->secret, 0) == sizeof rates->secret);
}

uint64_t rates_key(const struct rates *rates, struct slice scope, struct slice name)
{
    uint64_t seed = XXH3_64bits_withSeed(scope.at, scope.len, rates->secret);
    return XXH3_64bits_withSeed(name.at, name.len, seed) | UINT64_C(1) << 63;
}

/* Of entries with the same key, which two processes may make at a time, the one that counts most is the consumer's. */
static struct entry *find(struct set *set, uint64_t key)
{
    struct entry *found = NULL;
    for (int i = 0; i < WAYS; i++) {
        struct entry *e = &set->ways[i];
        if (e->key == key && (found == NULL || e->full_ns > found->full_ns))
            found = e;
    }
    return found;
}

/* True: an entry is the key's now, or another's before it could be: look again. */
static bool claim(struct set *set, uint64_t key, int64_t now_ns)
{
    for (int i = 0; i < WAYS; i++) {
        struct entry *e = &set->ways[i];
        uint64_t before = e->key;
        if (e->full_ns > now_ns)
            continue;
        atomic_compare_exchange_strong(&e->key, &before, key);
        FAULT(rate_claimed);
        return true;
    }
    return false;
}

/* False: others changed it: look again. */
static bool count(struct entry *e, const struct rate *rate, int64_t now_ns, struct rate_verdict *v)
{
    int64_t full_ns = e->full_ns, most_ns = now_ns + rate->burst_ns;
    /* What a larger burst of an older configuration has left is no more than this one allows: from now on, or it would
     * be as much the next time again. */
    if (full_ns > most_ns && !atomic_compare_exchange_strong(&e->full_ns, &full_ns, most_ns))
        return false;
    int64_t next_ns = MIN(MAX(full_ns, now_ns), most_ns) + rate->interval_ns, ahead_ns = next_ns - now_ns;
    v->counted = true;
    v->passes = ahead_ns <= rate->burst_ns;
    if (v->passes && !atomic_compare_exchange_strong(&e->full_ns, &full_ns, next_ns))
        return false;
    v->left = v->passes ? (rate->burst_ns - ahead_ns) / rate->interval_ns : 0;
    int64_t until_next_ns = ahead_ns + (v->passes ? rate->interval_ns : 0) - rate->burst_ns;
    v->wait_us = (v->left > 0 ? ahead_ns : until_next_ns) / NS_PER_US;
    return true;
}

struct rate_verdict rates_take(struct rates *rates, uint64_t key, const struct rate *rate, int64_t now_us)
{
    struct set *set = &rates->sets[key % SETS];
    int64_t now_ns = now_us * NS_PER_US;
    struct rate_verdict verdict = {.passes = true};
    for (;;) {
        struct entry *e = find(set, key);
        if (e == NULL && !claim(set, key, now_ns))
            return verdict;
        if (e != NULL && count(e, rate, now_ns, &verdict))
            return verdict;
    }
}
