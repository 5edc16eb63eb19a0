#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <string.h>

/* Readers pin a run's first segment alone; its parts are freed with it. Until it is declared the others are segments
 * that this process reclaims, so that its death leaves them empty and sealed. tests/model/runs.pml is its model. */

enum { TRIES = 8, COST_UNUSABLE = 1 << 20 };

static uint32_t length_of(const struct cache *c, uint32_t bytes)
{
    return (bytes + c->segment_bytes - 1) / c->segment_bytes;
}

/* ---- which segments ---- */

/* Of emptying a segment: what it holds, and how young it is among the sealed ones. */
static int64_t cost_of(const struct cache *c, uint32_t i)
{
    const struct cache_segment *s = &c->segments[i];
    uint64_t word = s->word, head;
    int64_t age = (int64_t)(c->header->seal_seq - s->seq), young = MAX((int64_t)c->segment_count - age, INT64_C(0));
    switch (segment_state_of(word)) {
    case SEGMENT_FREE:
        return 0;
    case SEGMENT_SEALED:
        return 1 + (segment_queue_of(word) == QUEUE_MAIN ? 4 : 1) * (s->live > 0) * (1 + young) * MAX(s->run, 1);
    case SEGMENT_PART:
        head = c->segments[segment_owner_of(word)].word;
        return segment_state_of(head) == SEGMENT_SEALED ? cost_of(c, (uint32_t)segment_owner_of(word)) : COST_UNUSABLE;
    case SEGMENT_OPEN:
    case SEGMENT_RECLAIM:
    case SEGMENT_LIMBO:
    case SEGMENT_AWAY:
        break;
    }
    return COST_UNUSABLE;
}

static int32_t cheapest(const struct cache *c, uint32_t n)
{
    int64_t least = COST_UNUSABLE, cost = 0;
    int32_t first = -1;
    for (uint32_t i = 0; i < c->segment_count; i++) {
        cost += cost_of(c, i);
        if (i >= n)
            cost -= cost_of(c, i - n);
        if (i + 1 >= n && cost < least) {
            least = cost;
            first = (int32_t)(i + 1 - n);
        }
    }
    return first;
}

/* ---- taking them ---- */

static bool claim(struct cache *c, uint32_t i, enum cache_queue queue)
{
    struct cache_segment *s = &c->segments[i];
    uint64_t word = s->word;
    return segment_state_of(word) == SEGMENT_FREE &&
           segment_change(s, word, segment_word(word, c->proc, queue, SEGMENT_RECLAIM));
}

static bool is_ours(const struct cache *c, uint32_t i)
{
    uint64_t word = c->segments[i].word;
    return segment_state_of(word) == SEGMENT_RECLAIM && segment_owner_of(word) == c->proc;
}

/* A sealed one is emptied and claimed; of another run, all of that goes. */
static bool win(struct cache *c, uint32_t i, enum cache_queue queue, int64_t now_us)
{
    uint64_t word = c->segments[i].word;
    uint32_t victim = segment_state_of(word) == SEGMENT_PART ? (uint32_t)segment_owner_of(word) : i;
    return is_ours(c, i) || claim(c, i, queue) || (reclaim_segment(c, victim, false, now_us) && claim(c, i, queue));
}

static void give_back(struct cache *c, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        if (is_ours(c, i)) {
            uint64_t word = c->segments[i].word;
            segment_change(&c->segments[i], word, segment_word(word, 0, QUEUE_SMALL, SEGMENT_FREE));
        }
}

/* Free ones first: what is moved out of the others must not go there. */
static bool take(struct cache *c, uint32_t first, uint32_t n, enum cache_queue queue, int64_t now_us)
{
    for (uint32_t i = first; i < first + n; i++)
        claim(c, i, queue);
    FAULT(run_claimed);
    for (uint32_t i = first; i < first + n; i++)
        if (!win(c, i, queue, now_us)) {
            give_back(c, first, n);
            return false;
        }
    return true;
}

bool run_take(struct cache *c, enum cache_queue queue, uint32_t bytes, int64_t now_us, uint32_t *first_out)
{
    uint32_t n = length_of(c, bytes);
    int32_t first = -1;
    for (int tries = 0; tries < TRIES; tries++) {
        first = cheapest(c, n);
        if (first < 0)
            return false;
        if (take(c, (uint32_t)first, n, queue, now_us))
            break;
        first = -1;
    }
    if (first < 0)
        return false;
    struct cache_segment *s = &c->segments[first];
    uint64_t word = s->word;
    struct cache_item *item = item_at(c, (uint32_t)first, 0);
    memset(item, 0, sizeof *item);
    item->bytes = bytes;
    s->items = 1;
    s->used = bytes;
    CHECK(segment_change(s, word, segment_word(word, c->proc, queue, SEGMENT_OPEN)));
    *first_out = (uint32_t)first;
    return true;
}

/* ---- declaring and freeing ---- */

void run_declare(struct cache *c, uint32_t first, uint32_t bytes)
{
    uint32_t n = length_of(c, bytes);
    FAULT(run_filled);
    c->segments[first].run = (uint16_t)n;
    for (uint32_t i = first + 1; i < first + n; i++) {
        FAULT(run_declared);
        uint64_t word = c->segments[i].word;
        CHECK(segment_change(&c->segments[i], word, segment_word(word, (int)first, QUEUE_SMALL, SEGMENT_PART)));
    }
    FAULT(run_parted);
}

/* Who died while freeing has freed some of them, and they may be parts of another run by now: each tells whose it is*.
 */
void run_free_parts(struct cache *c, uint32_t first)
{
    uint32_t n = c->segments[first].run;
    for (uint32_t i = first + 1; i < first + n; i++) {
        struct cache_segment *s = &c->segments[i];
        uint64_t word = s->word;
        if (segment_state_of(word) == SEGMENT_PART && (segment_owner_of(word) == (int)first || MUTANT(part_any)))
            segment_change(s, word, segment_word(word, 0, QUEUE_SMALL, SEGMENT_FREE));
        FAULT(run_freeing);
    }
    c->segments[first].run = 0;
}
