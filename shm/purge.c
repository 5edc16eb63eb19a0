#include "shm/purge.h"
#include "shm/tags.h"

#include <stdatomic.h>
#include <stdio.h>

/* No tag of a configuration begins with a control character. */
#define ROUTE_TAG "\1route "

enum { NAME_BYTES = 512 };

/* The master writes what it asks for and then its number; the keeper what it did and then the same number. */
struct purge {
    _Atomic uint64_t asked, done;
    _Atomic uint32_t kind, slot;
    _Atomic uint64_t entries, bytes;
};

size_t purge_bytes(void)
{
    return sizeof(struct purge);
}

uint32_t purge_route_slot(const char *name)
{
    char tag[NAME_BYTES];
    int len = snprintf(tag, sizeof tag, ROUTE_TAG "%s", name);
    return tags_slot(slice_of(tag, MIN((size_t)len, sizeof tag - 1)));
}

uint64_t purge_ask(struct purge *p, enum purge_kind kind, uint32_t slot)
{
    p->kind = (uint32_t)kind;
    p->slot = slot;
    return atomic_fetch_add(&p->asked, 1) + 1;
}

bool purge_asked(const struct purge *p, struct purge_order *out)
{
    *out = (struct purge_order){.number = p->asked, .kind = (enum purge_kind)p->kind, .slot = p->slot};
    return out->number != p->done && p->asked == out->number;
}

void purge_done(struct purge *p, uint64_t number, const struct purge_result *result)
{
    p->entries = result->entries;
    p->bytes = result->bytes;
    p->done = number;
}

bool purge_is_done(const struct purge *p, uint64_t number, struct purge_result *out)
{
    if (p->done != number)
        return false;
    *out = (struct purge_result){p->entries, p->bytes};
    return true;
}
