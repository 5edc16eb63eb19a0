#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <string.h>

enum { HEAD_FREE, HEAD_READY, HEAD_OWNER };

/* Two processes may enter the same head at a time; both copies are right. */
int head_find(struct cache *c, struct slice head)
{
    for (int i = 0; i < CACHE_HEADS; i++) {
        struct cache_head *h = &c->header->heads[i];
        uint32_t state = h->state;
        if (state == HEAD_FREE && atomic_compare_exchange_strong(&h->state, &state, HEAD_OWNER + (uint32_t)c->proc)) {
            FAULT(head_claimed);
            h->len = (uint16_t)head.len;
            if (head.len > 0)
                memcpy(h->bytes, head.at, head.len);
            FAULT(head_filled);
            h->state = HEAD_READY;
            return i;
        }
        if (state == HEAD_READY && slice_eq(slice_of(h->bytes, h->len), head))
            return i;
    }
    return -1;
}

void head_reap(struct cache *c, int proc)
{
    for (int i = 0; i < CACHE_HEADS; i++) {
        uint32_t owned = HEAD_OWNER + (uint32_t)proc;
        atomic_compare_exchange_strong(&c->header->heads[i].state, &owned, HEAD_FREE);
    }
}
