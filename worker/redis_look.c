#include "common/clock.h"
#include "worker/envelope.h"
#include "worker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { VERSIONS_MAX = 1 + CACHE_TAGS_MAX };
/* What waits to be sent of values beyond so many of the largest is more than Redis takes. */
enum { UNSENT_VALUES = 4 };

static void entry_key(const struct redis *redis, struct slice key, char out[static REDIS_KEY_BYTES])
{
    XXH128_hash_t hash = XXH3_128bits(key.at, key.len);
    snprintf(out, REDIS_KEY_BYTES, "%s:%d:e:%016llx%016llx", redis->prefix, ENVELOPE_FORMAT,
             (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

struct look {
    struct redis *redis;
    struct redis_link *link;
    struct redis_key key;
    redis_looked *looked;
    void *arg;
    struct redis_versions versions;
    bool missing[VERSIONS_MAX];
    int setting; /* versions whose SET is not answered yet */
    int64_t started_us;
};

static void look_done(struct look *look, enum redis_found found, const struct cache_entry *entry)
{
    static const enum stat_hist histograms[] = {
        [REDIS_HIT] = HIST_redis_hit, [REDIS_MISS] = HIST_redis, [REDIS_OFF] = HIST_redis_error};
    struct service *s = look->redis->service;
    if (found != REDIS_OFF)
        service_count(s, found == REDIS_HIT ? STAT_redis_hits : STAT_redis_misses);
    stats_observe(s->stats, s->slot, histograms[found], clock_mono_us() - look->started_us);
    look->looked(look->arg, found, &look->versions, entry);
    free(look);
}

/* Whatever stands there that is none of ours is no version. */
static uint64_t version_of(const redisReply *reply)
{
    char *end;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->str[0] < '0' || reply->str[0] > '9')
        return 0;
    uint64_t version = strtoull(reply->str, &end, 10);
    return end == reply->str + reply->len && version != UINT64_MAX ? version : 0;
}

struct setting {
    struct look *look;
    int i;
};

static void version_set(void *arg, const redisReply *reply)
{
    struct setting *setting = arg;
    struct look *look = setting->look;
    /* Another one was faster: its value is not known here. */
    if (!redis_failed(look->redis, reply) && reply->type == REDIS_REPLY_STATUS)
        look->missing[setting->i] = false;
    free(setting);
    if (--look->setting > 0)
        return;
    look->versions.known = true;
    for (int i = 0; i <= look->key.tag_count; i++)
        if (look->missing[i])
            look->versions.known = false;
    look_done(look, REDIS_MISS, NULL);
}

static void set_missing(struct look *look)
{
    for (int i = 0; i <= look->key.tag_count; i++)
        look->setting += look->missing[i];
    for (int i = 0; i <= look->key.tag_count; i++) {
        if (!look->missing[i])
            continue;
        char key[REDIS_KEY_BYTES], value[24];
        struct setting *setting = xcalloc(1, sizeof *setting);
        *setting = (struct setting){look, i};
        look->versions.at[i] = redis_new_version();
        redis_version_key(look->redis, i, look->key.tag_slots, key);
        snprintf(value, sizeof value, "%llu", (unsigned long long)look->versions.at[i]);
        redis_link_send(look->link, 4, (const char *[]){"SET", key, value, "NX"}, NULL, version_set, setting);
    }
}

/* True: every version is there. */
static bool take_versions(struct look *look, redisReply *const *replies)
{
    bool all = true;
    for (int i = 0; i <= look->key.tag_count; i++) {
        look->versions.at[i] = version_of(replies[i]);
        look->missing[i] = look->versions.at[i] == 0;
        all = all && !look->missing[i];
    }
    return all;
}

static bool is_answer(const struct look *look, const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == (size_t)(2 + look->key.tag_count);
}

/* MGET of the entry and its versions. */
static void look_replied(void *arg, const redisReply *reply)
{
    struct look *look = arg;
    struct redis *redis = look->redis;
    struct cache_entry entry;
    if (redis_failed(redis, reply) || !is_answer(look, reply)) {
        if (redis_link_choked(look->link))
            entry_key(redis, look->key.key, redis->choked_on);
        look_done(look, REDIS_OFF, NULL);
        return;
    }
    if (!take_versions(look, reply->element + 1)) {
        set_missing(look);
        return;
    }
    const redisReply *value = reply->element[0];
    look->versions.known = true;
    bool hit = value->type == REDIS_REPLY_STRING && value->len <= redis->value_max_bytes &&
               envelope_read(slice_of(value->str, value->len), &look->key, &look->versions, &entry, clock_mono_us(),
                             clock_wall_us());
    look_done(look, hit ? REDIS_HIT : REDIS_MISS, hit ? &entry : NULL);
}

bool redis_look(struct redis *redis, const struct redis_key *key, redis_looked *looked, void *arg)
{
    struct redis_link *link = redis_pick_clean(redis);
    char keys[1 + VERSIONS_MAX][REDIS_KEY_BYTES];
    const char *argv[2 + VERSIONS_MAX] = {"MGET", keys[0]};
    if (link == NULL) {
        service_count(redis->service, STAT_redis_skipped);
        return false;
    }
    struct look *look = xcalloc(1, sizeof *look);
    *look = (struct look){
        .redis = redis, .link = link, .key = *key, .looked = looked, .arg = arg, .started_us = clock_mono_us()};
    entry_key(redis, key->key, keys[0]);
    for (int i = 0; i <= key->tag_count; i++) {
        redis_version_key(redis, i, key->tag_slots, keys[1 + i]);
        argv[2 + i] = keys[1 + i];
    }
    redis_link_send(link, 3 + key->tag_count, argv, NULL, look_replied, look);
    return true;
}

/* ---- storing ---- */

static void stored(void *arg, const redisReply *reply)
{
    struct redis *redis = arg;
    if (!redis_failed(redis, reply))
        service_count(redis->service, STAT_redis_stores);
}

void redis_store(struct redis *redis, const struct redis_key *key, const struct redis_versions *versions,
                 const struct cache_entry *entry, int64_t now_us)
{
    int64_t life_ms = (entry->fresh_until_us - now_us) / US_PER_MS;
    struct redis_link *link = redis_pick_clean(redis);
    if (!versions->known || life_ms <= 0 || link == NULL ||
        redis_link_unsent_bytes(link) > UNSENT_VALUES * redis->value_max_bytes)
        return;
    if (envelope_bytes(key, entry) > redis->value_max_bytes) {
        service_count(redis->service, STAT_redis_too_large);
        return;
    }
    char name[REDIS_KEY_BYTES], life[24];
    entry_key(redis, key->key, name);
    snprintf(life, sizeof life, "%lld", (long long)life_ms);
    redis->envelope.len = 0;
    envelope_write(&redis->envelope, key, versions, entry, now_us, clock_wall_us());
    const char *argv[] = {"PSETEX", name, life, redis->envelope.at};
    const size_t lens[] = {6, strlen(name), strlen(life), redis->envelope.len};
    redis_link_send(link, 4, argv, lens, stored, redis);
}
