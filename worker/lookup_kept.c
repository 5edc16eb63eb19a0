#include "common/clock.h"
#include "worker/lookup.h"
#include "worker/upstream_call.h"
#include "worker/variant.h"

/* What fields answers vary by is learned anew after that. */
#define MARK_US (INT64_C(24) * 3600 * US_PER_S)

static struct cache *cache_of(const struct lookup *l)
{
    return l->r->service->shared->cache;
}

static const struct conf_strings *forward_of(const struct lookup *l)
{
    return &l->r->route->conf->upstream->forward;
}

/* Of what varies by credentials, who sends them gets none and leaves none. */
static bool is_own(const struct lookup *l, uint32_t varies_by)
{
    return variant_sent(l->r->forwarded, varies_by & l->r->route->credentials) != 0;
}

/* Credentials are no part of a key. */
static void set_key(struct lookup *l, uint32_t varies_by)
{
    CHECK(!is_own(l, varies_by));
    l->varies_by = varies_by;
    l->key = cache_key(cache_of(l), variant_key(l->target, l->r->forwarded, varies_by, l->r->arena));
}

void lookup_kept_init(struct lookup *l)
{
    struct request *r = l->r;
    l->target = l->key.bytes;
    upstream_call_read_fields(r);
    l->rules.stale_us = 0;
    l->rules.stale_if_error_us = INT64_MAX; /* each answer says how long: lookup_kept_find() */
    if (r->route->conf->cache_tags.count == 0)
        l->rules.unheard_us = 0; /* the database's changes are none of an upstream's */
    set_key(l, l->r->route->always);
}

void lookup_kept_tags(struct lookup *l)
{
    l->tag_slots[l->tag_count++] = upstream_call_tag(l->r);
}

static enum cache_state get(struct lookup *l, int64_t now_us, struct cache_entry *out, struct notes *notes)
{
    enum cache_state state = cache_get(cache_of(l), &l->key, &l->rules, now_us, out);
    if (state != CACHE_MISS)
        notes_read(out->notes, notes);
    else
        lookup_count_absence(l->r, out);
    return state;
}

static bool is_for(const struct lookup *l, const struct cache_entry *entry, const struct notes *notes)
{
    return notes->varies_by == 0 && (entry->uncacheable || !l->r->personal || notes->shareable);
}

bool lookup_kept(struct lookup *l, int64_t now_us, struct cache_entry *out, struct notes *notes)
{
    set_key(l, l->r->route->always);
    enum cache_state state = get(l, now_us, out, notes);
    if (state != CACHE_MISS && notes->varies_by != 0) {
        cache_release(out);
        if (is_own(l, notes->varies_by))
            return false;
        set_key(l, notes->varies_by);
        state = get(l, now_us, out, notes);
    }
    if (state == CACHE_MISS)
        return false;
    l->never_fresh = !out->uncacheable && out->fresh_until_us <= out->created_us;
    if (is_for(l, out, notes))
        return true;
    cache_release(out);
    return false;
}

enum cache_state lookup_kept_find(struct lookup *l, int64_t now_us, struct cache_entry *out)
{
    struct notes notes;
    if (!lookup_kept(l, now_us, out, &notes)) {
        out->absence = CACHE_ABSENT;
        return CACHE_MISS;
    }
    int64_t late_us = now_us - out->fresh_until_us;
    if (late_us < 0)
        return CACHE_FRESH;
    if (late_us < notes.stale_us)
        return CACHE_STALE;
    if (late_us < notes.stale_if_error_us)
        return CACHE_SPARE;
    cache_release(out);
    out->absence = CACHE_EXPIRED;
    return CACHE_MISS;
}

static void mark(const struct lookup *l, uint32_t varies_by, uint64_t born_seq, int64_t now_us)
{
    const struct notes notes = {.varies_by = varies_by};
    const struct cache_key base =
        cache_key(cache_of(l), variant_key(l->target, l->r->forwarded, l->r->route->always, l->r->arena));
    struct cache_entry entry = {.notes = notes_write(&notes, l->r->arena),
                                .created_us = now_us,
                                .fresh_until_us = now_us + MARK_US,
                                .born_seq = born_seq,
                                .tag_count = l->tag_count};
    memcpy(entry.tag_slots, l->tag_slots, sizeof entry.tag_slots);
    (void)cache_put(cache_of(l), &base, &(struct cache_rules){0}, &entry, now_us);
}

bool lookup_kept_place(struct lookup *l, struct slice vary, uint64_t born_seq, int64_t now_us)
{
    uint32_t varies_by = l->r->route->always | variant_named(forward_of(l), vary);
    if (is_own(l, varies_by))
        return false;
    if (varies_by != l->r->route->always && varies_by != l->varies_by)
        mark(l, varies_by, born_seq, now_us);
    set_key(l, varies_by);
    return true;
}
