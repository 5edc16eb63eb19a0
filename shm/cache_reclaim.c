#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* FREE_RESERVE segments are kept for moving what reclaiming keeps. Shares of all segments: the small queue gets a tenth
 * of what both queues have, absences and errors a twentieth. */
enum { FREE_RESERVE = 2, SMALL_SHARE = 10, NEGATIVE_SHARE = 20, SLACK = 4 };
/* Hits that take an item from the small queue to the main one. */
enum { PROMOTING_FREQ = 2 };
/* By so much must it be asked for more often than the main queue's tail: without it a loop larger than the cache drives
 * out what it has just let in (hit ratio 3 % in place of 45 %), and all traces lose a little. */
enum { RESCUE_MARGIN = 1 };
/* One item in so many is rescued whatever the sketch says, so that no pattern of requests keeps the rest out for ever.
 */
enum { JITTER = 128 };

/* ---- freeing ---- */

/* From RECLAIM by its owner. No word names the segment any more, so who pins it after the fence looks again and lets it
 * go*. */
static void free_segment(struct cache *c, uint32_t i)
{
    struct cache_segment *s = &c->segments[i];
    uint64_t word = s->word;
    FAULT(free_summed);
    if (s->run > 1)
        run_free_parts(c, i);
    s->used = 0;
    s->items = 0;
    s->live = 0;
    s->expires_us = 0;
    FAULT(free_emptied);
    segment_change(s, word, segment_word(word, 0, QUEUE_SMALL, SEGMENT_FREE));
}

static void free_or_wait(struct cache *c, uint32_t i)
{
    struct cache_segment *s = &c->segments[i];
    uint64_t word = s->word;
    FAULT(reclaim_cleared);
    atomic_thread_fence(memory_order_seq_cst);
    if (log_is_pinned(c, i))
        segment_change(s, word, segment_word(word, 0, segment_queue_of(word), SEGMENT_LIMBO));
    else
        free_segment(c, i);
}

/* Whoever finds its readers gone takes it out of limbo. */
static void leave_limbo(struct cache *c, uint32_t i, uint64_t word)
{
    struct cache_segment *s = &c->segments[i];
    atomic_thread_fence(memory_order_seq_cst);
    if (log_is_pinned(c, i) ||
        !segment_change(s, word, segment_word(word, c->proc, segment_queue_of(word), SEGMENT_RECLAIM)))
        return;
    FAULT(limbo_taken);
    free_segment(c, i);
}

/* ---- the state of all segments, counted anew each time it is asked for, so that no kill can make it wrong ---- */

struct survey {
    uint32_t free, away, sealed[QUEUE_COUNT]; /* a run counts as all its segments */
    int64_t live, live_in[QUEUE_COUNT];
    int32_t oldest[QUEUE_COUNT]; /* sealed; -1: none */
};

static struct survey survey(struct cache *c)
{
    struct survey v = {.oldest = {-1, -1, -1}};
    for (uint32_t i = 0; i < c->segment_count; i++) {
        struct cache_segment *s = &c->segments[i];
        uint64_t word = s->word;
        if (segment_state_of(word) == SEGMENT_LIMBO) {
            leave_limbo(c, i, word);
            word = s->word;
        }
        enum cache_queue queue = segment_queue_of(word);
        v.live += s->live;
        v.live_in[queue] += s->live;
        v.free += segment_state_of(word) == SEGMENT_FREE;
        v.away += segment_state_of(word) == SEGMENT_AWAY;
        if (segment_state_of(word) != SEGMENT_SEALED)
            continue;
        v.sealed[queue] += MAX(s->run, 1);
        if (v.oldest[queue] < 0 || s->seq < c->segments[v.oldest[queue]].seq)
            v.oldest[queue] = (int32_t)i;
    }
    return v;
}

static bool lacks_memory(const struct survey *v, uint32_t ahead)
{
    return v->free <= ahead;
}

/* Of what both queues hold the small one has its share, and goes first when it has more: in segments when those are
 * scarce, else in entries. */
static bool small_is_due(const struct survey *v, uint32_t ahead)
{
    if (lacks_memory(v, ahead))
        return v->sealed[QUEUE_SMALL] * SMALL_SHARE > v->sealed[QUEUE_SMALL] + v->sealed[QUEUE_MAIN];
    return v->live_in[QUEUE_SMALL] * SMALL_SHARE >= v->live_in[QUEUE_SMALL] + v->live_in[QUEUE_MAIN];
}

/* The main queue has all that the small one leaves it, but for what is open or kept free: when a segment of the small
 * queue is due, it never has quite all. */
static bool main_is_full(const struct cache *c, const struct survey *v, uint32_t ahead)
{
    int64_t usable = (int64_t)c->segment_count - v->away - v->sealed[QUEUE_NEGATIVE] - ahead - SLACK;
    int64_t entries = (int64_t)c->entries_max - v->live_in[QUEUE_NEGATIVE] - SLACK * (int64_t)c->segment_items;
    return v->live_in[QUEUE_MAIN] * SMALL_SHARE >= entries * (SMALL_SHARE - 1) ||
           v->sealed[QUEUE_MAIN] * (int64_t)SMALL_SHARE >= usable * (SMALL_SHARE - 1);
}

static bool negative_is_full(const struct cache *c, const struct survey *v)
{
    return v->sealed[QUEUE_NEGATIVE] >= MAX((c->segment_count - v->away) / NEGATIVE_SHARE, 2u);
}

/* ---- what stays: S3-FIFO. What was met again moves on. What the small queue drops is remembered, or rescued if it is
 * asked for more often than what the main queue would drop in its place. ---- */

struct reclaim {
    enum cache_queue queue;
    uint32_t segment;
    bool main_full;
    int32_t tail; /* the main queue's oldest segment; -1: none */
    uint32_t tail_offset;
    int64_t now_us;
};

/* How often the next item at the main queue's tail is asked for, by the sketch, and one more if it was hit there; after
 * the segment's last item the first one again. The segment may be reclaimed by now and hold anything: an estimate of
 * something else does no harm. */
static unsigned next_tail_estimate(const struct cache *c, struct reclaim *r)
{
    if (r->tail < 0)
        return 0;
    if (r->tail_offset + sizeof(struct cache_item) > MIN(c->segments[r->tail].used, c->segment_bytes))
        r->tail_offset = 0;
    const struct cache_item *item = item_at(c, (uint32_t)r->tail, r->tail_offset);
    struct slice key = item_key(item);
    if (!item_fits(c, item) || key.at < item->bytes_of ||
        key.at + key.len > c->log + (size_t)c->segment_count * c->segment_bytes)
        return 0;
    uint64_t hash = cache_hash(c, key);
    const _Atomic uint64_t *word = index_find_place(c, hash, word_make(hash, (uint32_t)r->tail, r->tail_offset));
    r->tail_offset += MIN(item->bytes, c->segment_bytes);
    return sketch_estimate(c, hash) + (word != NULL && word_freq(*word) > 0);
}

static bool is_worth(const struct cache *c, struct reclaim *r, unsigned freq, uint64_t hash)
{
    switch (r->queue) {
    case QUEUE_MAIN:
        return freq > 0;
    case QUEUE_SMALL:
        return freq >= PROMOTING_FREQ || !r->main_full ||
               sketch_estimate(c, hash) > next_tail_estimate(c, r) + RESCUE_MARGIN || random() % JITTER == 0;
    case QUEUE_NEGATIVE:
    case QUEUE_COUNT:
        break;
    }
    return false;
}

/* To the main queue's end. False: no room. */
static bool move_item(struct cache *c, const struct reclaim *r, _Atomic uint64_t *word, const struct cache_item *item,
                      uint64_t hash, uint64_t place, unsigned freq)
{
    uint32_t segment, offset;
    if (!log_append(c, QUEUE_MAIN, item->bytes, &segment, &offset))
        return false;
    memcpy((char *)item_at(c, segment, offset), item, item->bytes);
    log_filled(c, segment, item, r->now_us);
    FAULT(move_copied);
    /* If another took the word meanwhile, the copy is dead. */
    if (index_move(c, word, place, word_make(hash, segment, offset) | freq * WORD_FREQ_ONE))
        c->header->promoted++;
    FAULT(move_done);
    return true;
}

/* An item of several segments is not copied: its run goes to the end of the main queue as it stands. */
static bool requeue(struct cache *c, const struct reclaim *r, _Atomic uint64_t *word, uint64_t place, unsigned freq)
{
    struct cache_segment *s = &c->segments[r->segment];
    for (uint64_t old = *word; word_place(old) == place; old = *word)
        if (atomic_compare_exchange_strong(word, &old, place | freq * WORD_FREQ_ONE)) {
            log_seal(c, s, QUEUE_MAIN);
            FAULT(requeued);
            c->header->promoted++;
            return true;
        }
    return false;
}

/* True: the segment as a whole is in a queue again. */
static bool reclaim_item(struct cache *c, struct reclaim *r, uint32_t offset)
{
    const struct cache_item *item = item_at(c, r->segment, offset);
    if (!item_fits(c, item))
        return false; /* its writer died over it */
    uint64_t hash = cache_hash(c, item_key(item)), place = word_make(hash, r->segment, offset);
    _Atomic uint64_t *word = index_find_place(c, hash, place);
    if (word == NULL)
        return false;
    unsigned freq = word_freq(*word);
    bool of_use = r->now_us < item_expires_us(item) && item_valid(c, item);
    unsigned left = r->queue == QUEUE_MAIN && freq > 0 ? freq - 1 : 0;
    if (of_use && is_worth(c, r, freq, hash)) {
        if (c->segments[r->segment].run > 1) {
            if (requeue(c, r, word, place, left))
                return true;
        } else if (move_item(c, r, word, item, hash, place, left)) {
            return false;
        }
    }
    if (!index_clear(c, word, place))
        return false;
    if (of_use)
        index_evicted(c, item);
    else
        c->header->expired++;
    if (of_use && r->queue == QUEUE_SMALL)
        ghost_add(c, hash);
    return false;
}

/* ---- reclaiming ---- */

static bool reclaim_as(struct cache *c, struct reclaim *r)
{
    struct cache_segment *s = &c->segments[r->segment];
    uint64_t word = s->word;
    if (segment_state_of(word) != SEGMENT_SEALED ||
        !segment_change(s, word, segment_word(word, c->proc, segment_queue_of(word), SEGMENT_RECLAIM)))
        return false; /* another process has it */
    FAULT(reclaim_claimed);
    for (uint32_t offset = 0; offset < s->used; offset += item_at(c, r->segment, offset)->bytes) {
        if (reclaim_item(c, r, offset))
            return true;
        FAULT(reclaim_item);
    }
    free_or_wait(c, r->segment);
    return true;
}

bool reclaim_segment(struct cache *c, uint32_t segment, bool keep_whole, int64_t now_us)
{
    /* As a full main queue's it keeps only what was met again; as the negative queue's nothing. */
    enum cache_queue queue =
        keep_whole || c->segments[segment].run <= 1 ? segment_queue_of(c->segments[segment].word) : QUEUE_NEGATIVE;
    struct reclaim r = {.queue = queue, .segment = segment, .main_full = true, .tail = -1, .now_us = now_us};
    return reclaim_as(c, &r);
}

static enum cache_queue next_queue(const struct cache *c, const struct survey *v, uint32_t ahead)
{
    enum cache_queue queue = small_is_due(v, ahead) ? QUEUE_SMALL : QUEUE_MAIN;
    if (negative_is_full(c, v))
        return QUEUE_NEGATIVE;
    if (v->oldest[queue] < 0)
        queue = queue == QUEUE_MAIN ? QUEUE_SMALL : QUEUE_MAIN;
    return v->oldest[queue] < 0 ? QUEUE_NEGATIVE : queue;
}

/* False: there is nothing to reclaim. */
static bool reclaim_oldest(struct cache *c, const struct survey *v, uint32_t ahead, int64_t now_us)
{
    enum cache_queue queue = next_queue(c, v, ahead);
    if (v->oldest[queue] < 0)
        return false;
    struct reclaim r = {queue, (uint32_t)v->oldest[queue], main_is_full(c, v, ahead), v->oldest[QUEUE_MAIN], 0, now_us};
    reclaim_as(c, &r);
    return true;
}

static bool needs_reclaim(const struct cache *c, const struct survey *v, enum cache_queue queue, uint32_t ahead)
{
    return lacks_memory(v, ahead) || v->live + c->segment_items > (int64_t)c->entries_max ||
           (queue == QUEUE_NEGATIVE && negative_is_full(c, v));
}

static struct survey reclaim_until(struct cache *c, enum cache_queue queue, uint32_t ahead, int64_t now_us)
{
    struct survey v = survey(c);
    for (uint32_t tries = 0; tries < c->segment_count && needs_reclaim(c, &v, queue, ahead); tries++) {
        if (!reclaim_oldest(c, &v, ahead, now_us))
            break;
        v = survey(c);
    }
    return v;
}

void reclaim_ahead(struct cache *c, uint32_t ahead, int64_t now_us)
{
    reclaim_until(c, QUEUE_SMALL, MAX(ahead, (uint32_t)FREE_RESERVE), now_us);
}

/* Less than FREE_RESERVE is for moving what is kept. */
bool log_take(struct cache *c, enum cache_queue queue, uint32_t bytes, int64_t now_us, uint32_t *segment_out,
              uint32_t *offset_out)
{
    if (bytes > c->segment_bytes) {
        *offset_out = 0;
        return reclaim_until(c, queue, FREE_RESERVE, now_us).free >= FREE_RESERVE &&
               run_take(c, queue, bytes, now_us, segment_out);
    }
    if (!log_fits(c, queue, bytes) && reclaim_until(c, queue, FREE_RESERVE, now_us).free < FREE_RESERVE)
        return false;
    return log_append(c, queue, bytes, segment_out, offset_out);
}
