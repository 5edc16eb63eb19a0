/* The operations of a workload, chosen beforehand: which key comes when. */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include "common/slice.h"

enum { STEP_KEY_BYTES = 39, STEPS_ZIPF = 1 << 19, STEP_PUT_PERCENT = 5 };

/* Made shortly before it is measured: half a million of these, read one after the other, would push what the caches
 * hold out of the CPU's. */
struct step {
    uint32_t id, tag_slot; /* the key's tag is its own text */
    bool put;              /* one in twenty, for the workload that mixes */
    char key[STEP_KEY_BYTES + 8];
} __attribute__((aligned(64)));

enum order {
    ORDER_ZIPF,   /* STEPS_ZIPF steps over ids below `keys`, by Zipf 0.99 */
    ORDER_ABSENT, /* the same over the ids from `keys` to 2 x keys */
    ORDER_EACH    /* each id below `keys` once, at random */
};

struct steps {
    uint32_t *packed; /* id, and in the upper bit whether to put */
    uint32_t count;
};

void steps_init(struct steps *steps, enum order order, uint32_t keys);
void steps_deinit(struct steps *steps);
struct step step_of(uint32_t id);
struct step steps_at(const struct steps *steps, uint32_t i);

static inline struct slice step_key(const struct step *step)
{
    return slice_of(step->key, STEP_KEY_BYTES);
}

#endif
