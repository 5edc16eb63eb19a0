#include "worker/redis.h"
#include "common/clock.h"
#include "shm/tags.h"
#include "worker/envelope.h"
#include "worker/redis_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* 65,536 versions at most in Redis, whatever the number of tags; a collision only drops too much. */
enum { VERSION_SLOTS = 65536, NAME_MAX_BYTES = 160, VERSIONS_MAX = 1 + CACHE_TAGS_MAX };

struct redis {
    struct service *service;
    struct redis_link *link;
    const char *prefix;
    bool paying;
    struct buf envelope; /* kept for its memory */
};

/* Versions are only compared for equality, so a new random one can never bring an old answer back. */
static uint64_t new_version(void)
{
    uint64_t version;
    CHECK(getrandom(&version, sizeof version, 0) == sizeof version);
    return version;
}

static void version_name(const struct redis *redis, int i, const uint32_t *slots, char name[NAME_MAX_BYTES])
{
    if (i == 0)
        snprintf(name, NAME_MAX_BYTES, "%s:epoch", redis->prefix);
    else
        snprintf(name, NAME_MAX_BYTES, "%s:t:%u", redis->prefix, slots[i - 1] % VERSION_SLOTS);
}

static void entry_name(const struct redis *redis, struct slice key, char name[NAME_MAX_BYTES])
{
    XXH128_hash_t hash = XXH3_128bits(key.at, key.len);
    snprintf(name, NAME_MAX_BYTES, "%s:e:%016llx%016llx", redis->prefix, (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static void send(struct redis *redis, int argc, const char **argv, redis_replied *replied, void *arg)
{
    redis_link_send(redis->link, argc, argv, NULL, replied, arg);
}

static void failed(struct redis *redis)
{
    service_count(redis->service, STAT_redis_errors);
}

/* ---- looking ---- */

struct look {
    struct redis *redis;
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
    struct service *s = look->redis->service;
    stats_observe(s->stats, s->slot, HIST_redis, clock_mono_us() - look->started_us);
    if (found == REDIS_OFF)
        failed(look->redis);
    else
        service_count(s, found == REDIS_HIT ? STAT_redis_hits : STAT_redis_misses);
    look->looked(look->arg, found, &look->versions, entry);
    free(look);
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
    if (reply != NULL && reply->type == REDIS_REPLY_STATUS)
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
        char name[NAME_MAX_BYTES], value[24];
        struct setting *setting = xcalloc(1, sizeof *setting);
        *setting = (struct setting){look, i};
        look->versions.at[i] = new_version();
        version_name(look->redis, i, look->key.tag_slots, name);
        snprintf(value, sizeof value, "%llu", (unsigned long long)look->versions.at[i]);
        send(look->redis, 4, (const char *[]){"SET", name, value, "NX"}, version_set, setting);
    }
}

/* MGET of the entry and its versions. */
static void look_replied(void *arg, const redisReply *reply)
{
    struct look *look = arg;
    int versions = 1 + look->key.tag_count;
    bool any_missing = false;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != (size_t)(1 + versions)) {
        look_done(look, REDIS_OFF, NULL);
        return;
    }
    for (int i = 0; i < versions; i++) {
        const redisReply *version = reply->element[1 + i];
        look->missing[i] = version->type != REDIS_REPLY_STRING;
        any_missing |= look->missing[i];
        look->versions.at[i] = look->missing[i] ? 0 : strtoull(version->str, NULL, 10);
    }
    if (any_missing) {
        set_missing(look);
        return;
    }
    const redisReply *value = reply->element[0];
    struct cache_entry entry;
    look->versions.known = true;
    bool hit =
        value->type == REDIS_REPLY_STRING && envelope_read(slice_of(value->str, value->len), &look->key,
                                                           &look->versions, &entry, clock_mono_us(), clock_wall_us());
    look_done(look, hit ? REDIS_HIT : REDIS_MISS, hit ? &entry : NULL);
}

void redis_look(struct redis *redis, const struct redis_key *key, redis_looked *looked, void *arg)
{
    struct look *look = xcalloc(1, sizeof *look);
    char names[1 + VERSIONS_MAX][NAME_MAX_BYTES];
    const char *argv[2 + VERSIONS_MAX] = {"MGET", names[0]};
    *look = (struct look){.redis = redis, .key = *key, .looked = looked, .arg = arg, .started_us = clock_mono_us()};
    entry_name(redis, key->key, names[0]);
    for (int i = 0; i <= key->tag_count; i++) {
        version_name(redis, i, key->tag_slots, names[1 + i]);
        argv[2 + i] = names[1 + i];
    }
    if (tags_redis_debt(redis->service->shared->tags) > 0)
        argv[0] = "PING"; /* what stands there may be stale: an answer of another shape means "off" */
    send(redis, argv[0][0] == 'P' ? 1 : 3 + key->tag_count, argv, look_replied, look);
}

/* ---- storing, invalidating ---- */

static void stored(void *arg, const redisReply *reply)
{
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        failed(arg);
}

void redis_store(struct redis *redis, const struct redis_key *key, const struct redis_versions *versions,
                 const struct cache_entry *entry, int64_t now_us)
{
    int64_t life_ms = (entry->fresh_until_us - now_us) / US_PER_MS;
    if (!versions->known || life_ms <= 0 || !redis_link_up(redis->link) ||
        tags_redis_debt(redis->service->shared->tags) > 0)
        return;
    char name[NAME_MAX_BYTES], life[24];
    entry_name(redis, key->key, name);
    snprintf(life, sizeof life, "%lld", (long long)life_ms);
    redis->envelope.len = 0;
    envelope_write(&redis->envelope, key, versions, entry, now_us, clock_wall_us());
    const char *argv[] = {"PSETEX", name, life, redis->envelope.at};
    const size_t lens[] = {6, strlen(name), strlen(life), redis->envelope.len};
    redis_link_send(redis->link, 4, argv, lens, stored, redis);
}

struct invalidation {
    struct redis *redis;
    void (*done)(void *arg);
    void *arg;
};

static void invalidated(void *arg, const redisReply *reply)
{
    struct invalidation *invalidation = arg;
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        failed(invalidation->redis);
        tags_owe_redis(invalidation->redis->service->shared->tags);
    }
    invalidation->done(invalidation->arg);
    free(invalidation);
}

void redis_invalidate(struct redis *redis, const uint32_t *slots, int count, void (*done)(void *arg), void *arg)
{
    struct invalidation *invalidation = xcalloc(1, sizeof *invalidation);
    char(*names)[NAME_MAX_BYTES] = xcalloc((size_t)count, sizeof *names);
    char(*values)[24] = xcalloc((size_t)count, sizeof *values);
    const char **argv = xcalloc((size_t)(1 + 2 * count), sizeof *argv);
    *invalidation = (struct invalidation){redis, done, arg};
    argv[0] = "MSET";
    for (int i = 0; i < count; i++) {
        version_name(redis, i + 1, slots, names[i]);
        snprintf(values[i], sizeof values[i], "%llu", (unsigned long long)new_version());
        argv[1 + 2 * i] = names[i];
        argv[2 + 2 * i] = values[i];
    }
    send(redis, 1 + 2 * count, argv, invalidated, invalidation);
    free(names);
    free(values);
    free(argv);
}

/* ---- what is owed ---- */

struct payment {
    struct redis *redis;
    uint64_t debt;
};

static void paid(void *arg, const redisReply *reply)
{
    struct payment *payment = arg;
    payment->redis->paying = false;
    if (reply != NULL && reply->type == REDIS_REPLY_STATUS)
        tags_redis_paid(payment->redis->service->shared->tags, payment->debt);
    free(payment);
}

void redis_tick(struct redis *redis)
{
    uint64_t debt = tags_redis_debt(redis->service->shared->tags);
    if (debt == 0 || redis->paying || !redis_link_up(redis->link))
        return;
    char name[NAME_MAX_BYTES], value[24];
    struct payment *payment = xcalloc(1, sizeof *payment);
    *payment = (struct payment){redis, debt};
    redis->paying = true;
    version_name(redis, 0, NULL, name);
    snprintf(value, sizeof value, "%llu", (unsigned long long)new_version());
    send(redis, 3, (const char *[]){"SET", name, value}, paid, payment);
}

static void on_up(void *arg)
{
    redis_tick(arg);
}

bool redis_settled(const struct redis *redis)
{
    return redis_link_tried(redis->link) &&
           (!redis_link_up(redis->link) || tags_redis_debt(redis->service->shared->tags) == 0);
}

struct redis *redis_create(struct service *service)
{
    struct redis *redis = xcalloc(1, sizeof *redis);
    redis->service = service;
    redis->prefix = service->conf->redis.prefix;
    redis->link = redis_link_create(service->base, service->conf, on_up, redis);
    return redis;
}

void redis_destroy(struct redis **redis)
{
    redis_link_destroy(&(*redis)->link);
    buf_deinit(&(*redis)->envelope);
    free(*redis);
    *redis = NULL;
}
