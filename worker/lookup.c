#include "worker/lookup.h"
#include "common/clock.h"
#include "shm/doing.h"
#include "worker/encoding.h"
#include "worker/fan.h"
#include "worker/field_lines.h"
#include "worker/reply.h"

#include <stdlib.h>

/* Up to here a body is copied out (1.2 us); above it is sent from the cache's own memory. */
enum { LEND_BYTES = 16 << 10 };
#define UNCACHEABLE_US (10 * US_PER_S)

struct cache_key lookup_key(const struct request *r)
{
    return cache_key(r->service->shared->cache, params_key(r->route, r->values, r->format, r->arena));
}

static bool has_upstream(const struct lookup *l)
{
    return l->r->route->conf->from == FROM_UPSTREAM;
}

void lookup_init(struct lookup *l, struct request *r, const struct cache_key *key)
{
    const struct conf_route *conf = r->route->conf;
    l->r = r;
    l->key = *key;
    const struct conf *all = r->service->conf;
    bool told = conf->cache_tags.count > 0 || conf->from == FROM_FAN; /* its changes have tags */
    bool hears = conf_listens_to_database(all) || conf_listens_to_redis(all);
    l->rules = (struct cache_rules){conf->cache_tti_us, conf->cache_stale_us, conf->cache_stale_if_error_us,
                                    told && hears ? all->cache.ttl_without_listener_us : 0};
    if (has_upstream(l))
        lookup_kept_init(l);
}

bool lookup_tags(struct lookup *l)
{
    const struct request *r = l->r;
    l->tag_count = r->route->conf->cache_tags.count;
    params_tags(r->route, &r->route->conf->cache_tags, r->values, l->tag_slots);
    l->tag_slots[l->tag_count++] = r->route->own_tag;
    if (has_upstream(l))
        lookup_kept_tags(l);
    return fan_tags(r, l->tag_slots, &l->tag_count);
}

bool lookup_has_tags(const struct lookup *l)
{
    return l->tag_count > 1;
}

void lookup_count_absence(const struct request *r, struct cache_entry *entry)
{
    const struct service *s = r->service;
    enum cache_absence absence = entry->absence;
    entry->absence = CACHE_ABSENT;
    switch (absence) {
    case CACHE_ABSENT:
        return;
    case CACHE_EXPIRED:
        stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_expired, 1);
        return;
    case CACHE_IDLE:
        stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_idle, 1);
        return;
    case CACHE_DROPPED:
        stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_dropped, 1);
        return;
    }
}

enum cache_state lookup_find(struct lookup *l, int64_t now_us, struct cache_entry *entry_out)
{
    if (has_upstream(l))
        return lookup_kept_find(l, now_us, entry_out);
    enum cache_state state = cache_get(l->r->service->shared->cache, &l->key, &l->rules, now_us, entry_out);
    if (state == CACHE_MISS)
        lookup_count_absence(l->r, entry_out);
    return state;
}

/* ---- answering ---- */

/* An entry whose body is on its way to a consumer. */
struct lent {
    struct cache *cache;
    struct cache_entry entry;
};

static void give_back(void *arg)
{
    struct lent *lent = arg;
    cache_release(&lent->entry);
    free(lent);
}

static bool is_wanted(void *arg)
{
    const struct lent *lent = arg;
    return cache_is_waited_for(lent->cache, &lent->entry);
}

/* code, detail: each with its NUL. */
static void answer_problem(struct lookup *l, enum source source, const struct cache_entry *entry)
{
    struct request *r = l->r;
    const char *code = arena_str(r->arena, entry->body), *detail = code + strlen(code) + 1;
    r->source = source;
    reply_refuse(r, entry->status, code, detail);
}

/* -1: nobody had it before. */
static int64_t age_us(enum source source, const struct cache_entry *entry, const struct notes *notes, int64_t now_us)
{
    if (source == SOURCE_MISS && notes->age_us < US_PER_S)
        return -1;
    return MAX(now_us - entry->created_us, INT64_C(0)) + notes->age_us;
}

/* It was kept for less than its time, as a fan is that lacks a part (fetch_source.c). */
static bool is_shrunk(const struct lookup *l, const struct cache_entry *entry)
{
    const struct conf_route *conf = l->r->route->conf;
    return conf->from == FROM_FAN && entry->fresh_until_us - entry->created_us < conf->cache_ttl_us / 2;
}

void lookup_answer(struct lookup *l, enum source source, struct cache_entry *entry, bool lent, int64_t now_us)
{
    struct notes notes;
    notes_read(entry->notes, &notes);
    struct request *r = l->r;
    struct cache *cache = r->service->shared->cache;
    struct answer answer = {.status = entry->status,
                            .body = entry->body,
                            .gzip = entry->gzip,
                            .head = entry->head,
                            .etag = entry->etag,
                            .once = source == SOURCE_MISS || source == SOURCE_REDIS || source == SOURCE_NONE,
                            .varies = source != SOURCE_NONE && entry->body.len >= CACHE_GZIP_LEAST_BYTES,
                            .vary = field_lines_list(notes.fields, "Vary", r->arena),
                            .age_us = age_us(source, entry, &notes, now_us)};
    if (entry->negative) {
        answer_problem(l, source, entry);
        if (lent)
            cache_release(entry);
        return;
    }
    r->origin.shrunk |= is_shrunk(l, entry);
    bool could_shrink = entry->gzip.len == 0 && !entry->gzip_refused && entry->body.len >= CACHE_GZIP_LEAST_BYTES;
    if (lent && could_shrink && encoding_takes_gzip(http_list_in(r->http, "Accept-Encoding", r->arena)))
        cache_want_gzip(cache, entry);
    r->source = source;
    if (lent && entry->body.len > LEND_BYTES) {
        struct lent *mine = xmalloc(sizeof *mine);
        *mine = (struct lent){cache, *entry};
        answer.release = give_back;
        answer.is_wanted = is_wanted;
        answer.arg = mine;
        answer.etag = mine->entry.etag;
        reply_answer(r, &answer);
        return;
    }
    reply_answer(r, &answer);
    if (lent)
        cache_release(entry);
}

/* ---- storing ---- */

void lookup_mark_uncacheable(struct lookup *l, uint64_t born_seq, int64_t now_us)
{
    struct cache_entry mark = {
        .created_us = now_us, .fresh_until_us = now_us + UNCACHEABLE_US, .born_seq = born_seq, .uncacheable = true};
    (void)cache_put(l->r->service->shared->cache, &l->key, &l->rules, &mark, now_us);
}

bool lookup_store(struct lookup *l, const struct cache_entry *entry, int64_t now_us)
{
    struct service *s = l->r->service;
    doing_for(DOING_store, l->r->route->row);
    struct cache_rules rules = l->rules;
    if (has_upstream(l)) {
        struct notes notes;
        notes_read(entry->notes, &notes);
        rules.stale_if_error_us = notes_keep_us(&notes);
    }
    bool stored = cache_put(s->shared->cache, &l->key, &rules, entry, now_us);
    service_count(s, stored ? STAT_cache_puts : STAT_cache_put_failures);
    if (!stored && l->key.bytes.len + entry->body.len + entry->head.len > cache_largest_bytes(s->shared->cache))
        lookup_mark_uncacheable(l, entry->born_seq, now_us);
    return stored;
}

void lookup_store_problem(struct lookup *l, uint64_t born_seq, int64_t now_us)
{
    struct request *r = l->r;
    const char *code = r->problem.code, *detail = r->problem.detail ? r->problem.detail : "";
    size_t code_bytes = strlen(code) + 1, bytes = code_bytes + strlen(detail) + 1;
    char *text = arena_bytes(r->arena, bytes);
    memcpy(mempcpy(text, code, code_bytes), detail, bytes - code_bytes);
    struct cache_entry entry = {.body = slice_of(text, bytes),
                                .created_us = now_us,
                                .fresh_until_us = now_us + r->route->conf->cache_negative_us,
                                .born_seq = born_seq,
                                .tag_count = l->tag_count,
                                .status = r->problem.status,
                                .negative = true};
    memcpy(entry.tag_slots, l->tag_slots, sizeof entry.tag_slots);
    bool stored = cache_put(r->service->shared->cache, &l->key, &l->rules, &entry, now_us);
    service_count(r->service, stored ? STAT_cache_puts : STAT_cache_put_failures);
}
