#include "worker/recall.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* 256 KiB in all: more would push other things out of the CPU's own cache. */
enum { PLACES = 1024, PLACE_BYTES = 256, TEXT_BYTES = PLACE_BYTES - 40 };

struct place {
    uint64_t hash; /* of the target */
    uint64_t key_hash;
    struct route *route; /* NULL: free */
    const struct router_place *router_place;
    uint16_t target_bytes, key_bytes;
    char text[TEXT_BYTES]; /* the target, then the key */
};
_Static_assert(sizeof(struct place) <= PLACE_BYTES, "a place is of four cache lines");

struct recall {
    struct place places[PLACES];
};

struct recall *recall_create(void)
{
    return xcalloc(1, sizeof(struct recall));
}

void recall_destroy(struct recall **recall)
{
    free(*recall);
    *recall = NULL;
}

bool recall_find(const struct recall *recall, struct slice target, struct recalled *out)
{
    uint64_t hash = XXH3_64bits(target.at, target.len);
    const struct place *p = &recall->places[hash % PLACES];
    if (p->route == NULL || p->hash != hash || p->target_bytes != target.len ||
        memcmp(p->text, target.at, target.len) != 0)
        return false;
    *out =
        (struct recalled){p->route, p->router_place, {slice_of(p->text + p->target_bytes, p->key_bytes), p->key_hash}};
    return true;
}

void recall_keep(struct recall *recall, struct slice target, const struct recalled *what)
{
    uint64_t hash = XXH3_64bits(target.at, target.len);
    struct place *p = &recall->places[hash % PLACES];
    struct slice key = what->key.bytes;
    if (target.len + key.len > sizeof p->text)
        return;
    *p = (struct place){.hash = hash,
                        .key_hash = what->key.hash,
                        .route = what->route,
                        .router_place = what->place,
                        .target_bytes = (uint16_t)target.len,
                        .key_bytes = (uint16_t)key.len};
    memcpy(mempcpy(p->text, target.at, target.len), key.at, key.len);
}
