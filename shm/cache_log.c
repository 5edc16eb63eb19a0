#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <string.h>

/* ---- segment words ---- */

uint64_t segment_word(uint64_t old, int owner, enum cache_queue queue, enum segment_state state)
{
    uint64_t incarnation = (old >> 32) + (state == SEGMENT_OPEN);
    return incarnation << 32 | (uint64_t)(owner & 0xffff) << 16 | (uint64_t)queue << 8 | (uint64_t)state;
}

enum segment_state segment_state_of(uint64_t word)
{
    return (enum segment_state)(word & 0xff);
}

enum cache_queue segment_queue_of(uint64_t word)
{
    return (enum cache_queue)(word >> 8 & 0xff);
}

int segment_owner_of(uint64_t word)
{
    return (int)(word >> 16 & 0xffff);
}

bool segment_change(struct cache_segment *s, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&s->word, &from, to);
}

bool log_is_pinned(const struct cache *c, uint32_t segment)
{
    if (MUTANT(ignore_pins))
        return false;
    for (int proc = 0; proc < BOARD_ROWS; proc++)
        if (c->pins[(size_t)proc * c->pin_stride + segment] != 0)
            return true;
    return false;
}

/* ---- opening and sealing ---- */

static int32_t open_free(struct cache *c, enum cache_queue queue)
{
    for (uint32_t i = 0; i < c->segment_count; i++) {
        struct cache_segment *s = &c->segments[i];
        uint64_t word = s->word;
        if (segment_state_of(word) == SEGMENT_FREE &&
            segment_change(s, word, segment_word(word, c->proc, queue, SEGMENT_OPEN))) {
            FAULT(open_claimed);
            return (int32_t)i;
        }
    }
    return -1;
}

/* To the end of the queue. The owner's alone, or the master's for the dead. */
void log_seal(struct cache *c, struct cache_segment *s, enum cache_queue queue)
{
    uint64_t word = s->word;
    s->seq = c->header->seal_seq++;
    FAULT(seal_numbered);
    CHECK(segment_change(s, word, segment_word(word, 0, queue, SEGMENT_SEALED)) || MUTANT(seal_early));
}

void log_seal_own(struct cache *c, enum cache_queue queue)
{
    if (c->open[queue] < 0)
        return;
    log_seal(c, &c->segments[c->open[queue]], queue);
    c->open[queue] = -1;
}

bool log_fits(const struct cache *c, enum cache_queue queue, uint32_t bytes)
{
    int32_t i = c->open[queue];
    return i >= 0 && c->segments[i].used + bytes <= c->segment_bytes && c->segments[i].items < c->segment_items;
}

bool log_append(struct cache *c, enum cache_queue queue, uint32_t bytes, uint32_t *segment_out, uint32_t *offset_out)
{
    if (!log_fits(c, queue, bytes)) {
        log_seal_own(c, queue);
        c->open[queue] = open_free(c, queue);
        if (c->open[queue] < 0)
            return false;
    }
    *segment_out = (uint32_t)c->open[queue];
    struct cache_segment *s = &c->segments[*segment_out];
    *offset_out = s->used;
    struct cache_item *item = item_at(c, *segment_out, *offset_out);
    if (MUTANT(length_late)) {
        s->used += bytes;
        FAULT(take_sized);
    }
    memset(item, 0, sizeof *item);
    item->bytes = bytes;
    FAULT(take_sized);
    s->items++;
    if (!MUTANT(length_late))
        s->used += bytes; /* after the item's length, so that a walk never meets a hole* */
    return true;
}

void log_filled(struct cache *c, uint32_t segment, const struct cache_item *item, int64_t now_us)
{
    struct cache_segment *s = &c->segments[segment];
    s->expires_us = MAX(s->expires_us, item_expires_us(item));
    s->filled_us = now_us;
    FAULT(put_filled);
    if (item->bytes > c->segment_bytes)
        run_declare(c, segment, item->bytes);
}

void log_published(struct cache *c, uint32_t segment)
{
    struct cache_segment *s = &c->segments[segment];
    if (s->run > 1)
        log_seal(c, s, segment_queue_of(s->word));
}

/* ---- after a process ---- */

static void unpin_all(struct cache *c, int proc)
{
    for (uint32_t i = 0; i < c->segment_count; i++)
        c->pins[(size_t)proc * c->pin_stride + i] = 0;
}

/* What it was filling or emptying goes to its queue as it is: whole items are to be had, the rest no word names, and
 * reclaiming it begins anew. A part of a run that it had not declared is an empty segment. */
void log_reap(struct cache *c, int proc)
{
    unpin_all(c, proc);
    for (uint32_t i = 0; i < c->segment_count; i++) {
        struct cache_segment *s = &c->segments[i];
        uint64_t word = s->word;
        enum segment_state state = segment_state_of(word);
        if (segment_owner_of(word) != proc || (state != SEGMENT_OPEN && state != SEGMENT_RECLAIM))
            continue;
        log_seal(c, s, segment_queue_of(word));
        c->header->recovered++;
    }
}
