#include "shm/cache_layout.h"
#include "shm/fault.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* A share of the segments always stays, so that the cache goes on being one. At a time so many are given, since the
 * kernel takes their pages out of every process. */
enum { STAYING_SHARE = 8, AT_ONCE = 8 };

static uint32_t most_away(const struct cache *c)
{
    uint32_t staying = MAX(c->segment_count / STAYING_SHARE, (uint32_t)CACHE_SEGMENTS_LEAST);
    return c->segment_count - MIN(staying, c->segment_count);
}

void cache_give(struct cache *c, int64_t bytes)
{
    int64_t segments = (MAX(bytes, INT64_C(0)) + c->segment_bytes - 1) / c->segment_bytes;
    c->header->away_wanted = (uint32_t)MIN(segments, (int64_t)most_away(c));
}

void cache_given(const struct cache *c, struct cache_given *out)
{
    *out = (struct cache_given){.wanted_bytes = (int64_t)c->header->away_wanted * c->segment_bytes,
                                .most_bytes = (int64_t)most_away(c) * c->segment_bytes,
                                .log_bytes = (int64_t)c->segment_count * c->segment_bytes};
    for (uint32_t i = 0; i < c->segment_count; i++)
        out->bytes += segment_state_of(c->segments[i].word) == SEGMENT_AWAY ? c->segment_bytes : 0;
}

/* A free one has no readers and no words, and nobody can open it from here on: what it holds may go. Who dies over it
 * leaves an empty segment, which is sealed and reclaimed like any other. */
static bool give_segment(struct cache *c, uint32_t i)
{
    struct cache_segment *s = &c->segments[i];
    uint64_t word = s->word;
    if (segment_state_of(word) != SEGMENT_FREE ||
        !segment_change(s, word, segment_word(word, c->proc, QUEUE_SMALL, SEGMENT_RECLAIM)))
        return false;
    FAULT(give_claimed);
    bool gone = madvise(item_at(c, i, 0), c->segment_bytes, MADV_REMOVE) == 0;
    FAULT(give_removed);
    word = s->word;
    segment_change(s, word, segment_word(word, 0, QUEUE_SMALL, gone ? SEGMENT_AWAY : SEGMENT_FREE));
    return gone;
}

/* Its pages come when they are written to. */
static void take_back(struct cache *c, uint32_t segments)
{
    for (uint32_t i = 0; i < c->segment_count && segments > 0; i++) {
        uint64_t word = c->segments[i].word;
        if (segment_state_of(word) == SEGMENT_AWAY)
            segments -= segment_change(&c->segments[i], word, segment_word(word, 0, QUEUE_SMALL, SEGMENT_FREE));
    }
}

/* From the end on, as workers open theirs from the beginning. */
static void give(struct cache *c, uint32_t segments, int64_t now_us)
{
    reclaim_ahead(c, segments + c->segment_count / CACHE_AHEAD_SHARE, now_us);
    for (uint32_t i = c->segment_count; i > 0 && segments > 0; i--)
        segments -= give_segment(c, i - 1);
}

void give_step(struct cache *c, int64_t now_us)
{
    uint32_t away = 0, wanted = c->header->away_wanted;
    for (uint32_t i = 0; i < c->segment_count; i++)
        away += segment_state_of(c->segments[i].word) == SEGMENT_AWAY;
    if (away < wanted)
        give(c, MIN(wanted - away, (uint32_t)AT_ONCE), now_us);
    else if (away > wanted)
        take_back(c, MIN(away - wanted, (uint32_t)AT_ONCE));
}
