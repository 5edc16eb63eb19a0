/* The cache that all workers share. A value is a finished answer. No function here takes a lock or waits for another
 * process, and one that is killed inside any of them leaves the rest whole: see cache_layout.h.
 *
 * The master creates it; each process attaches after its fork by its row of the board; the master reaps the row of a
 * process that it has waited for. */
#ifndef SHM_CACHE_H
#define SHM_CACHE_H

#include "common/err.h"
#include "common/slice.h"
#include "shm/tags.h"

/* Tags: 8 of a route's own, one of what an upstream was asked for, and the route itself. */
enum { CACHE_TAGS_MAX = 10, CACHE_KEY_BYTES_MAX = 65535, CACHE_HEAD_BYTES = 120, CACHE_ETAG_BYTES = 36 };
enum { CACHE_OWN_HEAD_BYTES = 8192 }; /* of the notes, too */
/* A body shorter than a packet gains nothing by gzip. */
enum { CACHE_GZIP_LEAST_BYTES = 1024 };

struct cache;

struct cache_key {
    struct slice bytes;
    uint64_t hash; /* of this cache's own seed */
};

/* How long answers of a route are of use. Whoever asks for a key has the rules that it was stored under, as the route's
 * version is part of the key. 0: not at all; tti_us 0: as long as its ttl. */
struct cache_rules {
    int64_t tti_us, stale_us, stale_if_error_us;
    int64_t unheard_us; /* caps the life of what has tags while nobody hears of changes (tags_heard_us()); 0: no cap */
};

enum cache_state {
    CACHE_MISS,
    CACHE_FRESH,
    CACHE_STALE, /* its ttl is over; may be answered while one request fetches anew */
    CACHE_SPARE  /* may be answered only when the source fails */
};

/* What a miss met. */
enum cache_absence {
    CACHE_ABSENT,  /* nothing */
    CACHE_EXPIRED, /* an entry whose ttl is over, and all for which it was kept beyond it */
    CACHE_IDLE,    /* one whose tti is over, and its ttl not: a longer tti would have kept it */
    CACHE_DROPPED  /* one of whose tags was raised */
};

struct cache_entry {
    struct slice body; /* this and what follows to hold: valid until cache_release() */
    struct slice gzip; /* the same body compressed; empty: none */
    struct slice head; /* header fields as they go over the wire, each with its CRLF; at most CACHE_HEAD_BYTES */
    bool own_head; /* no other entry has this head: it is kept with the entry, and has CACHE_OWN_HEAD_BYTES at most */
    struct slice notes;                 /* what its source wants to know of it again; at most CACHE_OWN_HEAD_BYTES */
    int64_t created_us, fresh_until_us; /* CLOCK_MONOTONIC */
    uint64_t born_seq;
    int64_t cost_us;                    /* what fetching it took */
    uint32_t tag_slots[CACHE_TAGS_MAX]; /* cache_put() reads them, cache_get() does not tell them */
    int tag_count;
    int status;
    bool negative;               /* an absence or an error: kept within a small budget of its own */
    bool uncacheable;            /* no answer, only word that this key's answers cannot be kept */
    bool gzip_refused;           /* told by cache_get(): it was tried and does not pay */
    char etag[CACHE_ETAG_BYTES]; /* with its quotes, NUL-terminated */
    enum cache_absence absence;  /* all that cache_get() tells of a miss; who meets an entry takes it away */
    void *hold;                  /* the cache's own, as is slot */
    uint32_t slot;
};

/* Before the first fork. size_bytes counts everything, tables included; at most `entries` entries. */
struct cache *cache_create(int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err) MUST_USE;
/* Another perfd's, whose memfd is fd and whose tags are these; the memfd is taken over. NULL: it does not fit this size
 * and number of entries, or this perfd; fd is left. */
struct cache *cache_open(int fd, int64_t size_bytes, int64_t entries, struct tags *tags, struct err *err) MUST_USE;
/* Before it is used: its counters go on from those of another one. */
void cache_count_on(struct cache *cache, const struct cache *from);
int cache_fd(const struct cache *cache);  /* its memfd; -1: closed */
void cache_close_fd(struct cache *cache); /* in a process that hands it to nobody */
void cache_destroy(struct cache **cache); /* this process's mapping and memfd */
/* In each process after its fork, before anything below: its row of the board. */
void cache_attach(struct cache *cache, int proc);
/* The master, only after waitpid() of the process that had row proc: gives back what it held. */
void cache_reap(struct cache *cache, int proc);
size_t cache_largest_bytes(const struct cache *cache); /* of a key, its body and the gzip of it together */

struct cache_key cache_key(const struct cache *cache, struct slice bytes);
/* A second hash: with the first one 128 bits stand for the key. */
uint64_t cache_key_check(const struct cache *cache, const struct cache_key *key);

/* Borrow the live entry for key until cache_release(). One of whose tags was raised after its born_seq is a miss, as is
 * one whose time by the rules is over at now_us. The whole key is compared. */
enum cache_state cache_get(struct cache *cache, const struct cache_key *key, const struct cache_rules *rules,
                           int64_t now_us, struct cache_entry *entry_out) MUST_USE;
void cache_release(struct cache_entry *entry);
/* Its readers wait for memory: whoever can copy the rest of what it sends should, and release it. */
bool cache_is_waited_for(const struct cache *cache, const struct cache_entry *entry);
/* A consumer would have taken gzip: the keeper makes one if that pays, for those who come later. Nothing happens when
 * it has one, when it was tried, or when it is too short. */
void cache_want_gzip(struct cache *cache, const struct cache_entry *entry);
/* A fresh entry is fetched anew a little early, the sooner the longer that takes, so that a hot key never expires under
 * load: XFetch (Vattani, Chierichetti, Lowenstein 2015), beta 1. uniform: random numbers in (0, 1]; most need none. */
bool cache_is_early(const struct cache_entry *entry, int64_t now_us, double (*uniform)(void));

/* When the entry's ttl is over, or, while nobody hears of changes, the time for which it may be unknown that it is
 * right.
 */
int64_t cache_fresh_until_us(const struct cache *cache, const struct cache_rules *rules,
                             const struct cache_entry *entry);

/* Store, replacing what key had; a value of a later born_seq, or of the same one but made later, stays instead. False
 * when it is too large, or when no room is to be had at once. */
bool cache_put(struct cache *cache, const struct cache_key *key, const struct cache_rules *rules,
               const struct cache_entry *entry, int64_t now_us);

/* This process hears of each entry that it drops for want of room: its key, valid during the call. */
void cache_on_evicted(struct cache *cache, void (*evicted)(void *arg, struct slice key), void *arg);

/* Shows the items that a part of the index names, `buckets` of it from bucket from; what seen() says shall go is
 * dropped. Returns the bucket to go on from, 0 after the last one. Others go on meanwhile: what is moved may be shown
 * twice or not at all. */
struct cache_seen {
    struct slice key;
    uint64_t bytes; /* overhead included */
    const uint32_t *tag_slots;
    int tag_count;
};
uint32_t cache_walk(struct cache *cache, uint32_t from, uint32_t buckets,
                    bool (*seen)(void *arg, const struct cache_seen *item), void *arg);
uint32_t cache_buckets(const struct cache *cache);

/* Every process, now and then: lets go of what it has not filled for long. */
void cache_tick(struct cache *cache, int64_t now_us);
/* The keeper, often: keeps segments free ahead of the workers, frees those whose last item has expired, compresses what
 * consumers asked for. Everything goes on without it, in the workers. True: there was something to compress, and there
 * may be more. */
bool cache_keep(struct cache *cache, int64_t now_us);

/* The master: so many bytes of the cache's memory shall be with the machine; the keeper sees to it, little by little.
 * An eighth of the cache stays. */
void cache_give(struct cache *cache, int64_t bytes);
struct cache_given {
    int64_t bytes;                    /* with the machine now */
    int64_t wanted_bytes, most_bytes; /* as asked for, as far as it can be; and what could be */
    int64_t log_bytes;                /* all memory of answers, whoever has it now */
};
void cache_given(const struct cache *cache, struct cache_given *given_out);

struct cache_usage {
    uint64_t entries, entries_max;
    uint64_t used_bytes, size_bytes;
    uint64_t evicted, expired, promoted;
    uint64_t compressed; /* entries that got their gzip */
    uint64_t segments, segments_free, segments_limbo;
    uint64_t recovered; /* segments sealed for processes that died */
};
void cache_usage(const struct cache *cache, struct cache_usage *usage_out);

/* Goes through everything. Exact when no process is at work; with some stopped or killed in the middle, `wrong` is
 * still 0. Reads no item's body save for its checksum. */
struct cache_audit {
    uint64_t words, duplicates, live_bytes; /* of items that a word names; overhead included */
    uint64_t overhead_bytes; /* of them, all that is neither key, head, body nor gzip; tables not included */
    uint64_t wrong;
    char what[200]; /* the first wrong one */
    uint64_t free, open, sealed, reclaim, limbo, part, away, pins;
};
void cache_audit(const struct cache *cache, struct cache_audit *audit_out);

#endif
