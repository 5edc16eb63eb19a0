#include "shm/slow.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = sizeof(struct slow_query) / sizeof(uint64_t), OWNER_BITS = 8, TRIES = 8 };
_Static_assert(sizeof(struct slow_query) % sizeof(uint64_t) == 0, "an entry is copied by words");

/* `word` is number << OWNER_BITS, plus the writer's proc + 1 while it writes; 0: nothing is there. The entry is copied
 * by words, so that a reader who meets a writer reads old and new, not nonsense, and then sees that word has changed.
 */
struct entry {
    _Atomic uint64_t word;
    _Atomic uint64_t words[WORDS];
};

struct slow {
    _Atomic uint64_t last; /* number given */
    uint64_t unused[7];
    struct entry entries[SLOW_ENTRIES];
};

size_t slow_bytes(void)
{
    return sizeof(struct slow);
}

static uint64_t owner_of(uint64_t word)
{
    return word & ((UINT64_C(1) << OWNER_BITS) - 1);
}

/* NULL: another writer is in it, dead perhaps. */
static struct entry *claim(struct slow *slow, uint64_t number, int proc)
{
    struct entry *e = &slow->entries[number % SLOW_ENTRIES];
    uint64_t word = atomic_load_explicit(&e->word, memory_order_relaxed);
    uint64_t claimed = number << OWNER_BITS | (uint64_t)(proc + 1);
    if (owner_of(word) != 0 || word >> OWNER_BITS >= number ||
        !atomic_compare_exchange_strong(&e->word, &word, claimed))
        return NULL;
    return e;
}

uint64_t slow_add(struct slow *slow, int proc, const struct slow_query *query)
{
    struct slow_query copy = *query;
    uint64_t words[WORDS];
    struct entry *e = NULL;
    for (int i = 0; i < TRIES && e == NULL; i++) {
        copy.number = atomic_fetch_add_explicit(&slow->last, 1, memory_order_relaxed) + 1;
        e = claim(slow, copy.number, proc);
    }
    if (e == NULL)
        return 0;
    atomic_thread_fence(memory_order_release); /* the claim is seen before any word */
    memcpy(words, &copy, sizeof words);
    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&e->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&e->word, copy.number << OWNER_BITS, memory_order_release);
    return copy.number;
}

void slow_reap(struct slow *slow, int proc)
{
    for (int i = 0; i < SLOW_ENTRIES; i++) {
        uint64_t word = atomic_load_explicit(&slow->entries[i].word, memory_order_relaxed);
        if (owner_of(word) == (uint64_t)(proc + 1))
            atomic_compare_exchange_strong(&slow->entries[i].word, &word, 0);
    }
}

static bool read_entry(const struct entry *e, struct slow_query *out)
{
    uint64_t words[WORDS];
    uint64_t word = atomic_load_explicit(&e->word, memory_order_acquire);
    if (word == 0 || owner_of(word) != 0)
        return false;
    for (int i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&e->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    memcpy(out, words, sizeof words);
    return atomic_load_explicit(&e->word, memory_order_relaxed) == word;
}

static int later_first(const void *a, const void *b)
{
    const struct slow_query *one = a, *other = b;
    return one->number < other->number ? 1 : one->number > other->number ? -1 : 0;
}

/* The file may be another program's by mistake: whatever stands in it, what is handed out has its ends. */
static void bound(struct slow_query *query)
{
    query->route[SLOW_ROUTE_BYTES - 1] = query->state[sizeof query->state - 1] = '\0';
    query->params[SLOW_PARAMS_BYTES - 1] = '\0';
    query->params_bytes = MIN(query->params_bytes, SLOW_PARAMS_BYTES);
}

int slow_read(const struct slow *slow, struct slow_query out[static SLOW_ENTRIES])
{
    int count = 0;
    for (int i = 0; i < SLOW_ENTRIES; i++)
        if (read_entry(&slow->entries[i], &out[count]))
            bound(&out[count++]);
    qsort(out, (size_t)count, sizeof *out, later_first);
    return count;
}

/* ---- parameters ---- */

bool slow_param_add(struct slow_query *query, const char *value)
{
    size_t bytes = 1 + (value != NULL ? strlen(value) + 1 : 0);
    if (bytes > SLOW_PARAMS_BYTES - query->params_bytes)
        return false;
    char *at = query->params + query->params_bytes;
    *at = value != NULL ? 'v' : 'n';
    memcpy(at + 1, value != NULL ? value : "", bytes - 1);
    query->params_bytes += (uint32_t)bytes;
    return true;
}

int slow_params(const struct slow_query *query, const char **values_out, int most)
{
    const char *at = query->params, *end = query->params + query->params_bytes;
    int count = 0;
    for (; at < end && count < most; count++) {
        bool null = *at++ == 'n';
        values_out[count] = null ? NULL : at;
        if (!null && memchr(at, '\0', (size_t)(end - at)) == NULL)
            break;
        at += null ? 0 : strlen(at) + 1;
    }
    return count;
}
