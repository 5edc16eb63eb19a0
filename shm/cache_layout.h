/* How the cache lies in shared memory, for its own files.
 *
 *   cache_index.c    buckets of words that say where an item lies; pins
 *   cache_log.c      segments, filled from front to back by one process each, and sealed
 *   cache_reclaim.c  which segment goes next, which of its items stay
 *   cache_run.c      several segments side by side for one large item
 *   cache_item.c     what stands in a segment
 *   cache_policy.c   what was dropped lately, and how often keys are asked for
 *   cache_head.c     header fields, which many items share
 *   cache_walk.c     all that is there, item by item
 *   cache_give.c     memory that goes back to the machine, and comes again
 *   cache_keep.c     what the keeper does ahead of the workers
 *   cache_audit.c    whether all of that fits together
 *
 * An item becomes visible by one CAS of an index word, so a kill before it leaves nothing and after it all. Rules that
 * a model or a prototype needs (the * of the design) are named where they are kept. Every field that two processes may
 * touch is atomic; `seq_cst` throughout, save where a comment says why less is enough. */
#ifndef SHM_CACHE_LAYOUT_H
#define SHM_CACHE_LAYOUT_H

#include "shm/board.h"
#include "shm/cache.h"

enum {
    CACHE_GHOST_WAYS = 8,
    CACHE_SKETCH_LINE = 64,
    CACHE_WAYS = 8,
    CACHE_PLACES = 2 * CACHE_WAYS,
    CACHE_ALIGN = 8,
    CACHE_FREQ_MAX = 3
};

/* ---- index ---- */

/* A word: tag 27 | freq 2 | segment 16 | offset / 8 19. 0: empty; the tag is never 0. */
#define WORD_OFFSET_BITS 19
#define WORD_SEGMENT_BITS 16
#define WORD_FREQ_SHIFT (WORD_OFFSET_BITS + WORD_SEGMENT_BITS)
#define WORD_FREQ_ONE (UINT64_C(1) << WORD_FREQ_SHIFT)
#define WORD_FREQ_MASK (3 * WORD_FREQ_ONE)
#define WORD_TAG_SHIFT (WORD_FREQ_SHIFT + 2)

struct cache_bucket {
    _Atomic uint64_t words[CACHE_WAYS];
} __attribute__((aligned(64)));

/* ---- segments ---- */

enum segment_state {
    SEGMENT_FREE,
    SEGMENT_OPEN,    /* owner fills it */
    SEGMENT_SEALED,  /* in its queue */
    SEGMENT_RECLAIM, /* owner empties it, or makes it ready for a run */
    SEGMENT_LIMBO,   /* no word names it, but somebody still reads there */
    SEGMENT_PART,    /* belongs to the run whose first segment is named in place of the owner */
    SEGMENT_AWAY     /* its memory is with the machine */
};
enum cache_queue { QUEUE_SMALL, QUEUE_MAIN, QUEUE_NEGATIVE, QUEUE_COUNT };

struct cache_segment {
    _Atomic uint64_t word;      /* incarnation 32 | owner 16 | queue 8 | state 8; changed by CAS */
    _Atomic uint64_t seq;       /* of its sealing: the queues' order */
    _Atomic int64_t expires_us; /* when the last of its items is of no more use */
    _Atomic int64_t filled_us;  /* when an item was put into it last */
    _Atomic uint32_t used;      /* bytes; of a run: of all of it */
    _Atomic uint16_t run;       /* more than 1: the first of so many that hold one item */
    _Atomic uint16_t items;     /* ever put into it */
    _Atomic int16_t live;       /* words that name one; right again at its next use if a kill made it wrong */
};

/* ---- items ---- */

enum item_flag {
    ITEM_NEGATIVE = 1,
    ITEM_UNCACHEABLE = 2,
    ITEM_ETAG_HEX = 4,
    ITEM_HEAD_WITHIN = 8,
    ITEM_NO_GZIP = 16,
    ITEM_NOTED = 32 /* the own head begins with the notes: two bytes of their length, then they */
};

/* Immutable once an index word names it, save for last_access_ms and ITEM_NO_GZIP. */
struct cache_item {
    uint32_t bytes; /* of the whole item, padding included; stored before the segment's `used` moves over it* */
    uint32_t body_len, gzip_len;
    uint16_t key_len;
    uint8_t head; /* index of the shared head; of an item with an own one the padding at its end */
    uint8_t etag_len;
    int64_t created_us, fresh_until_us;
    uint64_t born_seq;
    _Atomic uint32_t last_access_ms; /* since created_us */
    uint32_t keep_ms;                /* after fresh_until_us it is of some use for so long */
    uint32_t cost_us;
    uint32_t checksum; /* of what follows */
    uint16_t status;
    _Atomic uint8_t flags;
    uint8_t tag_count;
    char bytes_of[]; /* tag slots, etag, own head, key, body, gzip */
};

struct cache_head {
    _Atomic uint32_t state; /* 0: free; 1: ready; else the row + 2 of the process that writes it */
    uint16_t len;
    char bytes[CACHE_HEAD_BYTES];
};
enum { CACHE_HEADS = 64 };

/* ---- the whole ---- */

/* Of all segments this share is kept free. */
enum { CACHE_WANTS = 64, CACHE_SEGMENTS_LEAST = 8, CACHE_AHEAD_SHARE = 64 };

struct cache_header {
    uint64_t seed, check_seed;
    _Atomic uint64_t seal_seq;
    _Atomic uint64_t evicted, expired, recovered, promoted, compressed;
    _Atomic uint64_t ghost_adds, sketch_adds;
    _Atomic uint32_t away_wanted;              /* segments */
    _Atomic uint64_t gzip_wanted[CACHE_WANTS]; /* places whose readers would take gzip; 0: none */
    struct cache_head heads[CACHE_HEADS];
};

/* A process's view: where the parts stand in its mapping, and what is its own. */
struct cache {
    struct tags *tags;
    const _Atomic int64_t *heard_us; /* of them */
    void *shared;
    int fd;
    size_t total_bytes, largest_bytes;
    struct cache_header *header;
    struct cache_bucket *buckets;
    uint32_t bucket_count;
    struct cache_segment *segments;
    uint32_t segment_count, segment_bytes, segment_items;
    _Atomic uint32_t *pins; /* [row of the board][segment] */
    uint32_t pin_stride;    /* of a row: whole cache lines, since only its process writes it */
    _Atomic uint32_t *ghost;
    uint32_t ghost_sets;
    _Atomic uint8_t *sketch;
    uint32_t sketch_bytes;
    char *log;
    uint64_t entries_max;
    int proc;
    uint32_t sketch_untold;                       /* own adds that header->sketch_adds lacks */
    int32_t open[QUEUE_COUNT];                    /* own open segments; -1: none */
    void (*evicted)(void *arg, struct slice key); /* NULL: nobody wants to know */
    void *evicted_arg;
};

static inline uint32_t word_segment(uint64_t word)
{
    return (uint32_t)(word >> WORD_OFFSET_BITS) & ((1u << WORD_SEGMENT_BITS) - 1);
}

static inline uint32_t word_offset(uint64_t word)
{
    return ((uint32_t)word & ((1u << WORD_OFFSET_BITS) - 1)) * CACHE_ALIGN;
}

static inline unsigned word_freq(uint64_t word)
{
    return (unsigned)(word >> WORD_FREQ_SHIFT) & 3;
}

static inline uint64_t word_place(uint64_t word)
{
    return word & ~WORD_FREQ_MASK;
}

static inline uint64_t word_tag(uint64_t hash)
{
    return (hash * UINT64_C(0x9e3779b97f4a7c15)) >> WORD_TAG_SHIFT | 1;
}

static inline uint64_t word_make(uint64_t hash, uint32_t segment, uint32_t offset)
{
    return word_tag(hash) << WORD_TAG_SHIFT | (uint64_t)segment << WORD_OFFSET_BITS | offset / CACHE_ALIGN;
}

/* A number below n from 32 good bits. */
static inline uint32_t spread(uint32_t bits, uint32_t n)
{
    return (uint32_t)((uint64_t)bits * n >> 32);
}

static inline struct cache_item *item_at(const struct cache *c, uint32_t segment, uint32_t offset)
{
    return (struct cache_item *)(void *)(c->log + (size_t)segment * c->segment_bytes + offset);
}

static inline struct cache_item *item_of(const struct cache *c, uint64_t word)
{
    return item_at(c, word_segment(word), word_offset(word));
}

/* This process's row, one pin a segment. */
static inline _Atomic uint32_t *index_pins(const struct cache *c)
{
    return &c->pins[(size_t)c->proc * c->pin_stride];
}

/* ---- cache_item.c ---- */

struct item_shape {
    uint32_t bytes;
    int head; /* index of the shared head; -1: the item has its own */
    uint8_t padding;
};

/* False: no item can be so large. */
bool item_measure(struct cache *c, const struct cache_key *key, const struct cache_entry *entry,
                  struct item_shape *shape_out) MUST_USE;
/* item->bytes is set by then. */
void item_write(struct cache_item *item, const struct item_shape *shape, const struct cache_key *key,
                const struct cache_rules *rules, const struct cache_entry *entry, int64_t now_us);
void item_read(const struct cache *c, const struct cache_item *item, struct cache_entry *entry_out); /* but its tags */
void item_read_tags(const struct cache_item *item, struct cache_entry *entry_out);
struct slice item_key(const struct cache_item *item);
struct slice item_own_head(const struct cache_item *item);             /* empty: it has a shared one */
bool item_valid(const struct cache *c, const struct cache_item *item); /* no tag raised since it was born */
int64_t item_expires_us(const struct cache_item *item);                /* but for its tti */
/* False: its writer died over it, its lengths mean nothing. */
bool item_fits(const struct cache *c, const struct cache_item *item);
bool item_is_whole(const struct cache_item *item); /* its checksum is right */
uint64_t cache_hash(const struct cache *c, struct slice key);

/* ---- cache_index.c ---- */

/* Where a key was found. */
struct index_look {
    int place; /* of its CACHE_PLACES; before: the first one to look at */
    _Atomic uint64_t *word;
    uint64_t seen; /* the word's value */
    struct cache_item *item;
    _Atomic uint32_t *pin; /* on the item's segment, until index_unpin() */
};
bool index_find(const struct cache *c, const struct cache_key *key, struct index_look *look);
/* The segment of what the word names stays, and the word still named it afterwards. NULL: it does not. */
_Atomic uint32_t *index_pin(const struct cache *c, const _Atomic uint64_t *word, uint64_t seen);
void index_unpin(_Atomic uint32_t *pin);
/* The word that names this place, or NULL. */
_Atomic uint64_t *index_find_place(const struct cache *c, uint64_t hash, uint64_t place);
/* Whatever its freq: to 0, or to another place. False: it names something else by now. */
bool index_clear(struct cache *c, _Atomic uint64_t *word, uint64_t place);
bool index_move(struct cache *c, _Atomic uint64_t *word, uint64_t place, uint64_t to);
/* The item, which stays for the call, has been dropped for want of room. */
void index_evicted(struct cache *c, const struct cache_item *item);
void index_raise_freq(_Atomic uint64_t *word, uint64_t seen);
/* Makes key's item, which is whole and lies where word says, visible in the place of what key had. False: no place is
 * to be had. True with a later value there, which stays. */
bool index_publish(struct cache *c, const struct cache_key *key, const struct cache_item *item, uint64_t word);

/* ---- cache_log.c ---- */

uint64_t segment_word(uint64_t old, int owner, enum cache_queue queue, enum segment_state state);
enum segment_state segment_state_of(uint64_t word);
enum cache_queue segment_queue_of(uint64_t word);
int segment_owner_of(uint64_t word);
bool segment_change(struct cache_segment *s, uint64_t from, uint64_t to);

/* Room in the own open segment of the queue, or in a free one that takes its place. False: none is free. */
bool log_append(struct cache *c, enum cache_queue queue, uint32_t bytes, uint32_t *segment_out, uint32_t *offset_out);
bool log_fits(const struct cache *c, enum cache_queue queue, uint32_t bytes); /* in the own open segment */
/* The item is whole, and no word names it yet. One of several segments declares its run. */
void log_filled(struct cache *c, uint32_t segment, const struct cache_item *item, int64_t now_us);
/* A word names it. A run is full with its one item, and is sealed. */
void log_published(struct cache *c, uint32_t segment);
void log_seal(struct cache *c, struct cache_segment *s, enum cache_queue queue);
void log_seal_own(struct cache *c, enum cache_queue queue);
void log_reap(struct cache *c, int proc);
bool log_is_pinned(const struct cache *c, uint32_t segment);

/* ---- cache_reclaim.c ---- */

/* Room for an item, reclaiming what it takes. False: none is to be had. */
bool log_take(struct cache *c, enum cache_queue queue, uint32_t bytes, int64_t now_us, uint32_t *segment_out,
              uint32_t *offset_out) MUST_USE;
/* True: it was sealed and is ours no more: free, or in limbo, or moved on as a whole. */
bool reclaim_segment(struct cache *c, uint32_t segment, bool keep_whole, int64_t now_us);
/* Until `ahead` segments are free and the entries are within their number. */
void reclaim_ahead(struct cache *c, uint32_t ahead, int64_t now_us);

/* ---- cache_run.c ---- */

/* Segments side by side for one item of so many bytes. The first is open, the others are held for it. */
bool run_take(struct cache *c, enum cache_queue queue, uint32_t bytes, int64_t now_us, uint32_t *first_out) MUST_USE;
/* The item is whole: the others become parts. */
void run_declare(struct cache *c, uint32_t first, uint32_t bytes);
/* The first segment is being freed: so are the parts. */
void run_free_parts(struct cache *c, uint32_t first);

/* ---- cache_give.c ---- */

void give_step(struct cache *c, int64_t now_us);

/* ---- cache_policy.c ---- */

void ghost_add(struct cache *c, uint64_t hash);
bool ghost_take(struct cache *c, uint64_t hash);
void sketch_add(struct cache *c, uint64_t hash);
unsigned sketch_estimate(const struct cache *c, uint64_t hash);

/* ---- cache_head.c ---- */

int head_find(struct cache *c, struct slice head); /* -1: the table is full */
void head_reap(struct cache *c, int proc);

#endif
