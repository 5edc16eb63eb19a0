#include "tests/bench/lib/steps.h"
#include "shm/tags.h"
#include "tests/bench/lib/zipf.h"

#include <stdlib.h>

#define ZIPF_EXPONENT 0.99

#define PUT_BIT (UINT32_C(1) << 31)
enum { STEP_LAST_DIGIT = 34 };

/* The same at each run. */
static uint64_t random_state = UINT64_C(88172645463325252);

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

struct step step_of(uint32_t id)
{
    struct step step = {.id = id, .key = "8c1f0e6a93d25b74/api/users/00000000/all"};
    for (char *digit = step.key + STEP_LAST_DIGIT; id > 0; id /= 10, digit--)
        *digit = (char)('0' + id % 10);
    step.tag_slot = tags_slot(step_key(&step));
    return step;
}

/* Ranks get ids at random, so that popular entries do not lie side by side. */
static uint32_t *shuffled_ids(uint32_t count)
{
    uint32_t *ids = xmalloc(count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = (uint32_t)(random_next() % (i + 1));
        ids[i] = ids[other];
        ids[other] = i;
    }
    return ids;
}

void steps_init(struct steps *steps, enum order order, uint32_t keys)
{
    uint32_t *ids = shuffled_ids(keys);
    double *sums = zipf_create(keys, ZIPF_EXPONENT);
    steps->count = order == ORDER_EACH ? keys : (uint32_t)STEPS_ZIPF;
    steps->packed = xmalloc(steps->count * sizeof *steps->packed);
    for (uint32_t i = 0; i < steps->count; i++) {
        uint32_t id = ids[order == ORDER_EACH ? i : zipf_rank(sums, keys, (double)(random_next() >> 11) * 0x1p-53)];
        steps->packed[i] = order == ORDER_ABSENT ? keys + id : id;
        if (random_next() % 100 < STEP_PUT_PERCENT)
            steps->packed[i] |= PUT_BIT;
    }
    free(sums);
    free(ids);
}

void steps_deinit(struct steps *steps)
{
    free(steps->packed);
    *steps = (struct steps){NULL, 0};
}

struct step steps_at(const struct steps *steps, uint32_t i)
{
    struct step step = step_of(steps->packed[i] & ~PUT_BIT);
    step.put = steps->packed[i] & PUT_BIT;
    return step;
}
