#include "shm/cache_layout.h"
#include "shm/fault.h"
#include "shm/segment.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SEGMENT_LEAST = 16 << 10, SEGMENT_MOST = 4 << 20, SEGMENTS_WANTED = 256, ITEMS_SHARE = 200 };
enum { LARGEST_LEAST = 64 << 10, LARGEST_MOST = 64 << 20, LARGEST_SHARE = 64, ENTRY_BYTES_LEAST = 128, LINE = 64 };
/* last_access_ms is written when it is older than a second and than this share of tti, so that a hot item is read-only.
 */
enum { ACCESS_SHARE = 8, ACCESS_LEAST_US = 1000000 };
/* One hit in so many is counted by the sketch. */
enum { SKETCH_SHARE = 8 };
/* -log() of the least number that random() gives, rounded up. */
enum { EARLY_MOST = 22 };

/* ---- making ---- */

/* Two thirds of the index are to be used, so that hardly a key finds both its buckets full; the ghost has room for 1.25
 * x the entries, as its sets fill unevenly; the sketch has 16 counters an entry: 25 bytes an entry in all. Segments are
 * sealed after entries / 200 items, so that queues have meaning for small caches too. */
static void plan(struct cache *c, int64_t size_bytes, int64_t entries)
{
    int64_t segment = MIN(MAX(size_bytes / SEGMENTS_WANTED, (int64_t)SEGMENT_LEAST), (int64_t)SEGMENT_MOST);
    c->entries_max = (uint64_t)MIN(entries, size_bytes / ENTRY_BYTES_LEAST);
    c->segment_bytes = (uint32_t)(segment / 4096 * 4096);
    c->bucket_count = (uint32_t)(c->entries_max * 3 / 2 / CACHE_WAYS + 1);
    c->ghost_sets = (uint32_t)(c->entries_max * 5 / 4 / CACHE_GHOST_WAYS + 1);
    c->sketch_bytes = (uint32_t)(c->entries_max * 8 / CACHE_SKETCH_LINE + 1) * CACHE_SKETCH_LINE;
    c->largest_bytes = (size_t)MIN(MAX(size_bytes / LARGEST_SHARE, (int64_t)LARGEST_LEAST), (int64_t)LARGEST_MOST);
}

enum section { HEADER, BUCKETS, SEGMENTS, PINS, GHOST, SKETCH, LOG, SECTIONS };

static void sections_of(const struct cache *c, struct segment_section sections[SECTIONS])
{
    const struct segment_section all[SECTIONS] = {
        [HEADER] = {"header", sizeof *c->header, sizeof *c->header, NULL},
        [BUCKETS] = {"index", c->bucket_count * sizeof *c->buckets, sizeof *c->buckets, NULL},
        [SEGMENTS] = {"segments", c->segment_count * sizeof *c->segments, sizeof *c->segments, NULL},
        [PINS] = {"pins", (size_t)BOARD_ROWS * c->pin_stride * sizeof *c->pins, sizeof *c->pins, NULL},
        [GHOST] = {"ghost", c->ghost_sets * CACHE_GHOST_WAYS * sizeof *c->ghost, sizeof *c->ghost, NULL},
        [SKETCH] = {"sketch", c->sketch_bytes, CACHE_SKETCH_LINE, NULL},
        [LOG] = {"log", (size_t)c->segment_count * c->segment_bytes, offsetof(struct cache_item, bytes_of), NULL}};
    memcpy(sections, all, sizeof all);
}

/* As many as fit beside the tables. */
static void plan_segments(struct cache *c, int64_t size_bytes)
{
    struct segment_section sections[SECTIONS];
    c->segment_count = (uint32_t)MIN(size_bytes / c->segment_bytes, (int64_t)(1 << WORD_SEGMENT_BITS) - 1);
    c->pin_stride = (c->segment_count + LINE - 1) / LINE * LINE;
    sections_of(c, sections);
    int64_t tables = (int64_t)segment_bytes(sections, LOG);
    c->segment_count = (uint32_t)MIN(MAX((size_bytes - tables) / c->segment_bytes, (int64_t)CACHE_SEGMENTS_LEAST),
                                     (int64_t)c->segment_count);
    uint64_t filled = MAX(c->segment_count * 3 / 4, 1u);
    uint64_t items = MAX(MAX(c->entries_max / ITEMS_SHARE, (c->entries_max + filled - 1) / filled), UINT64_C(1));
    c->segment_items = (uint32_t)MIN(items, (uint64_t)INT16_MAX);
}

static void place(struct cache *c, const struct segment_section sections[SECTIONS])
{
    c->header = sections[HEADER].at;
    c->buckets = sections[BUCKETS].at;
    c->segments = sections[SEGMENTS].at;
    c->pins = sections[PINS].at;
    c->ghost = sections[GHOST].at;
    c->sketch = sections[SKETCH].at;
    c->log = sections[LOG].at;
}

/* All but the memory. */
static struct cache *make_view(int64_t size_bytes, int64_t entries, struct tags *tags,
                               struct segment_section sections[SECTIONS])
{
    struct cache *c = xcalloc(1, sizeof *c);
    c->fd = -1;
    c->tags = tags;
    c->heard_us = tags_heard_word(tags);
    plan(c, size_bytes, entries);
    plan_segments(c, size_bytes);
    cache_attach(c, 0);
    sections_of(c, sections);
    c->total_bytes = segment_bytes(sections, SECTIONS);
    return c;
}

struct cache *cache_create(int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err)
{
    struct segment_section sections[SECTIONS];
    struct cache *c = make_view(size_bytes, entries, tags, sections);
    c->shared = segment_create("perfd-cache", sections, SECTIONS, &c->fd, err);
    if (c->shared == NULL) {
        free(c);
        return NULL;
    }
    place(c, sections);
    CHECK(getrandom(&c->header->seed, sizeof c->header->seed, 0) == sizeof c->header->seed);
    CHECK(getrandom(&c->header->check_seed, sizeof c->header->check_seed, 0) == sizeof c->header->check_seed);
    return c;
}

struct cache *cache_open(int fd, int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err)
{
    struct segment_section sections[SECTIONS];
    struct cache *c = make_view(size_bytes, entries, tags, sections);
    c->shared = segment_attach(fd, sections, SECTIONS, err);
    if (c->shared == NULL) {
        free(c);
        return NULL;
    }
    place(c, sections);
    c->fd = fd;
    return c;
}

void cache_count_on(struct cache *c, const struct cache *from)
{
    c->header->evicted = from->header->evicted;
    c->header->expired = from->header->expired;
    c->header->recovered = from->header->recovered;
    c->header->promoted = from->header->promoted;
    c->header->compressed = from->header->compressed;
}

int cache_fd(const struct cache *c)
{
    return c->fd;
}

void cache_close_fd(struct cache *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void cache_destroy(struct cache **c)
{
    cache_close_fd(*c);
    segment_destroy((*c)->shared);
    free(*c);
    *c = NULL;
}

void cache_attach(struct cache *c, int proc)
{
    c->proc = proc;
    for (int i = 0; i < QUEUE_COUNT; i++)
        c->open[i] = -1;
}

void cache_on_evicted(struct cache *c, void (*evicted)(void *arg, struct slice key), void *arg)
{
    c->evicted = evicted;
    c->evicted_arg = arg;
}

void cache_reap(struct cache *c, int proc)
{
    log_reap(c, proc);
    head_reap(c, proc);
}

size_t cache_largest_bytes(const struct cache *c)
{
    return c->largest_bytes;
}

struct cache_key cache_key(const struct cache *c, struct slice bytes)
{
    return (struct cache_key){bytes, cache_hash(c, bytes)};
}

uint64_t cache_key_check(const struct cache *c, const struct cache_key *key)
{
    return XXH3_64bits_withSeed(key->bytes.at, key->bytes.len, c->header->check_seed);
}

/* ---- looking ---- */

static int64_t idle_us(const struct cache_item *item, int64_t now_us)
{
    return now_us - item->created_us - (int64_t)item->last_access_ms * 1000;
}

/* What was right when it was read, or when changes were last heard of, may have changed since. */
static int64_t capped_us(const struct cache *c, const struct cache_rules *rules, int64_t fresh_until_us,
                         int64_t read_us, int tag_count)
{
    int64_t heard_us = *c->heard_us;
    if (heard_us == 0 || rules->unheard_us == 0 || tag_count == 0)
        return fresh_until_us;
    return MIN(fresh_until_us, MAX(heard_us, read_us) + rules->unheard_us);
}

int64_t cache_fresh_until_us(const struct cache *c, const struct cache_rules *rules, const struct cache_entry *entry)
{
    return capped_us(c, rules, entry->fresh_until_us, entry->created_us - entry->cost_us, entry->tag_count);
}

static enum cache_state state_at(const struct cache *c, const struct cache_item *item, const struct cache_rules *rules,
                                 int64_t now_us)
{
    int64_t fresh_until_us = item->fresh_until_us;
    if (now_us - *c->heard_us >= rules->unheard_us) /* hardly ever: nothing was heard for so long */
        fresh_until_us =
            capped_us(c, rules, fresh_until_us, item->created_us - (int64_t)item->cost_us, item->tag_count);
    int64_t late_us = now_us - fresh_until_us;
    if (rules->tti_us > 0 && idle_us(item, now_us) >= rules->tti_us)
        return CACHE_MISS;
    if (late_us < 0)
        return CACHE_FRESH;
    if (item->flags & (ITEM_NEGATIVE | ITEM_UNCACHEABLE))
        return CACHE_MISS;
    return late_us < rules->stale_us ? CACHE_STALE : late_us < rules->stale_if_error_us ? CACHE_SPARE : CACHE_MISS;
}

static enum cache_absence absence_of(const struct cache_item *item, const struct cache_rules *rules, int64_t now_us,
                                     enum cache_state state)
{
    if (item->flags & ITEM_UNCACHEABLE)
        return CACHE_ABSENT; /* word that there is nothing */
    if (state != CACHE_MISS)
        return CACHE_DROPPED;
    bool idle = rules->tti_us > 0 && idle_us(item, now_us) >= rules->tti_us;
    return idle && now_us < item->fresh_until_us ? CACHE_IDLE : CACHE_EXPIRED;
}

static void touch(struct cache *c, const struct index_look *at, const struct cache_key *key,
                  const struct cache_rules *rules, int64_t now_us)
{
    index_raise_freq(at->word, at->seen);
    if (rules->tti_us > 0 && idle_us(at->item, now_us) >=
                                 MIN(MAX(rules->tti_us / ACCESS_SHARE, (int64_t)ACCESS_LEAST_US), rules->tti_us / 2))
        at->item->last_access_ms = (uint32_t)MIN((now_us - at->item->created_us) / 1000, INT64_C(0xffffffff));
    if (word_freq(at->seen) < CACHE_FREQ_MAX || (key->hash + (uint64_t)now_us) % SKETCH_SHARE == 0)
        sketch_add(c, key->hash);
}

enum cache_state cache_get(struct cache *c, const struct cache_key *key, const struct cache_rules *rules,
                           int64_t now_us, struct cache_entry *entry_out)
{
    enum cache_absence absence = CACHE_ABSENT;
    for (struct index_look at = {0}; index_find(c, key, &at); at.place++) {
        enum cache_state state = state_at(c, at.item, rules, now_us);
        if (state != CACHE_MISS && item_valid(c, at.item)) {
            touch(c, &at, key, rules, now_us);
            item_read(c, at.item, entry_out);
            entry_out->hold = at.pin;
            entry_out->slot = (uint32_t)(at.word - c->buckets->words);
            return state;
        }
        absence = absence_of(at.item, rules, now_us, state);
        if (index_clear(c, at.word, word_place(at.seen)) && state == CACHE_MISS)
            c->header->expired++;
        index_unpin(at.pin);
    }
    entry_out->absence = absence;
    return CACHE_MISS;
}

void cache_release(struct cache_entry *entry)
{
    index_unpin(entry->hold);
    entry->hold = NULL;
}

bool cache_is_waited_for(const struct cache *c, const struct cache_entry *entry)
{
    size_t segment = (size_t)((_Atomic uint32_t *)entry->hold - index_pins(c));
    return segment_state_of(c->segments[segment].word) == SEGMENT_LIMBO;
}

void cache_want_gzip(struct cache *c, const struct cache_entry *entry)
{
    _Atomic uint64_t *want = &c->header->gzip_wanted[entry->slot % CACHE_WANTS];
    if (entry->gzip.len > 0 || entry->gzip_refused || entry->body.len < CACHE_GZIP_LEAST_BYTES)
        return; /* else each hit would wake the keeper for nothing */
    if (*want == 0)
        *want = entry->slot + UINT64_C(1);
}

bool cache_is_early(const struct cache_entry *entry, int64_t now_us, double (*uniform)(void))
{
    int64_t left_us = entry->fresh_until_us - now_us;
    if (left_us > entry->cost_us * EARLY_MOST)
        return false; /* no random number is so small */
    return -(double)entry->cost_us * log(uniform()) >= (double)left_us;
}

/* ---- storing ---- */

static enum cache_queue queue_for(struct cache *c, const struct cache_key *key, const struct cache_entry *entry)
{
    if (entry->negative || entry->uncacheable)
        return QUEUE_NEGATIVE;
    sketch_add(c, key->hash);
    return ghost_take(c, key->hash) ? QUEUE_MAIN : QUEUE_SMALL;
}

bool cache_put(struct cache *c, const struct cache_key *key, const struct cache_rules *rules,
               const struct cache_entry *entry, int64_t now_us)
{
    struct item_shape shape;
    uint32_t segment, offset;
    CHECK(entry->tag_count <= CACHE_TAGS_MAX);
    if (!item_measure(c, key, entry, &shape) ||
        !log_take(c, queue_for(c, key, entry), shape.bytes, now_us, &segment, &offset))
        return false;
    FAULT(put_taken);
    if (MUTANT(late_publish))
        for (int queue = 0; queue < QUEUE_COUNT; queue++)
            log_seal_own(c, (enum cache_queue)queue);
    struct cache_item *item = item_at(c, segment, offset);
    item_write(item, &shape, key, rules, entry, now_us);
    log_filled(c, segment, item, now_us);
    bool stored = index_publish(c, key, item, word_make(key->hash, segment, offset));
    FAULT(put_published);
    log_published(c, segment);
    return stored;
}

/* ---- figures ---- */

void cache_usage(const struct cache *c, struct cache_usage *out)
{
    *out = (struct cache_usage){.entries_max = c->entries_max,
                                .size_bytes = c->total_bytes,
                                .used_bytes = (uint64_t)(c->log - (char *)c->shared),
                                .evicted = c->header->evicted,
                                .expired = c->header->expired,
                                .promoted = c->header->promoted,
                                .compressed = c->header->compressed,
                                .recovered = c->header->recovered,
                                .segments = c->segment_count};
    int64_t live = 0;
    for (uint32_t i = 0; i < c->segment_count; i++) {
        enum segment_state state = segment_state_of(c->segments[i].word);
        live += c->segments[i].live;
        out->used_bytes += c->segments[i].used;
        out->segments_free += state == SEGMENT_FREE;
        out->segments_limbo += state == SEGMENT_LIMBO;
    }
    out->entries = (uint64_t)MAX(live, INT64_C(0));
}
