/* What the shared cache has for a read, and may have for the next one. */
#ifndef WORKER_LOOKUP_H
#define WORKER_LOOKUP_H

#include "worker/notes.h"
#include "worker/request.h"

struct lookup {
    struct request *r;
    struct cache_key key;
    struct cache_rules rules;
    uint32_t tag_slots[CACHE_TAGS_MAX];
    int tag_count;
    /* Of a route with an upstream: */
    struct slice target; /* the key without header fields */
    uint32_t varies_by;  /* the fields whose values are part of the key (variant.h) */
    bool never_fresh;    /* what was found is asked about each time */
};

struct cache_key lookup_key(const struct request *r); /* of its route and values */
void lookup_init(struct lookup *lookup, struct request *r, const struct cache_key *key);
/* What storing and waiting need beside. False: not all of them can be told, so nothing may be stored. */
bool lookup_tags(struct lookup *lookup) MUST_USE;
/* Others than the route's own, which all its answers have: something changes them. After lookup_tags(). */
bool lookup_has_tags(const struct lookup *lookup);
/* As cache_get(): what is found must be answered or released. A miss with CACHE_EXPIRED met what stays where it is. */
enum cache_state lookup_find(struct lookup *lookup, int64_t now_us, struct cache_entry *entry_out) MUST_USE;
/* Answers the request by an entry, or by the problem that a negative one tells. lent: it came from lookup_find(), is
 * sent from where it lies when it is large, and is released here. The request is gone unless somebody holds it. */
void lookup_answer(struct lookup *lookup, enum source source, struct cache_entry *entry, bool lent, int64_t now_us);

/* False: no room, or too large. What is too large leaves a mark, so that readers of the key
 * do not wait for each other's fetches in vain. */
bool lookup_store(struct lookup *lookup, const struct cache_entry *entry, int64_t now_us);
/* The value is too large, or must not be kept: likewise. */
void lookup_mark_uncacheable(struct lookup *lookup, uint64_t born_seq, int64_t now_us);
/* The request's problem as the answer to all who ask within the route's `negative`. */
void lookup_store_problem(struct lookup *lookup, uint64_t born_seq, int64_t now_us);

/* What a look took away that found nothing, for the route's figures: once. lookup_find() does so. */
void lookup_count_absence(const struct request *r, struct cache_entry *entry);

/* ---- lookup_kept.c: what is kept of an upstream's answers ----
 *
 * A key has the values of the header fields by which answers are known to vary. Which these are stands where the answer
 * of a target is looked for first, in place of an answer. lookup_find() and the others come here by themselves. */

void lookup_kept_init(struct lookup *lookup);
void lookup_kept_tags(struct lookup *lookup);
enum cache_state lookup_kept_find(struct lookup *lookup, int64_t now_us, struct cache_entry *entry_out) MUST_USE;
/* The same answer, however old it is: to be released. False: there is none for this request. */
bool lookup_kept(struct lookup *lookup, int64_t now_us, struct cache_entry *entry_out,
                 struct notes *notes_out) MUST_USE;
/* Where an answer with this Vary belongs: lookup->key. False: it is of nobody else's use. */
bool lookup_kept_place(struct lookup *lookup, struct slice vary, uint64_t born_seq, int64_t now_us) MUST_USE;

#endif
