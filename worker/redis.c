#include "common/clock.h"
#include "common/log.h"
#include "worker/redis_message.h"
#include "worker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* 65,536 versions at most in Redis, whatever the number of tags; a collision only drops too much. */
enum { VERSION_SLOTS = 65536 };
/* Of a reply beside the value: versions, and what INFO tells. */
enum { REPLY_SPARE_BYTES = 64 << 10 };

uint64_t redis_new_version(void)
{
    uint64_t version;
    CHECK(getrandom(&version, sizeof version, 0) == sizeof version);
    return version | 1; /* 0 is none */
}

void redis_version_key(const struct redis *redis, int i, const uint32_t *slots, char key[static REDIS_KEY_BYTES])
{
    if (i == 0)
        snprintf(key, REDIS_KEY_BYTES, "%s:epoch", redis->prefix);
    else
        snprintf(key, REDIS_KEY_BYTES, "%s:t:%u", redis->prefix, slots[i - 1] % VERSION_SLOTS);
}

void redis_channel(const struct conf *conf, char channel[static REDIS_KEY_BYTES])
{
    snprintf(channel, REDIS_KEY_BYTES, "%s:changes", conf->redis.prefix);
}

static struct redis_link *pick(struct redis *redis, bool clean)
{
    if (clean && tags_suspended(redis->tags))
        return NULL;
    for (int i = 0; i < redis->link_count; i++) {
        struct redis_link *link = redis->links[redis->turn++ % (unsigned)redis->link_count];
        if (redis_link_up(link) && (!clean || tags_redis_clean(redis->tags, redis_link_server(link))))
            return link;
    }
    return NULL;
}

struct redis_link *redis_pick(struct redis *redis)
{
    return pick(redis, false);
}

struct redis_link *redis_pick_clean(struct redis *redis)
{
    return pick(redis, true);
}

bool redis_failed(struct redis *redis, const redisReply *reply)
{
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        return false;
    service_count(redis->service, STAT_redis_errors);
    if (reply != NULL && !redis->complained) {
        log_warn("Redis refuses: %.*s", MIN(redis_words_len(reply->str), 200), reply->str);
        redis->complained = true;
    }
    return true;
}

/* Out of memory it still takes what frees some. */
static bool is_out_of_memory(const redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "OOM", 3) == 0;
}

static void publish(struct redis *redis, struct redis_link *link, const char *message, redis_replied *replied,
                    void *arg)
{
    redis_link_send(link, 3, (const char *[]){"PUBLISH", redis->channel, message}, NULL, replied, arg);
}

static void on_published(void *arg, const redisReply *reply)
{
    redis_failed(arg, reply);
}

bool redis_say(struct redis *redis, const char *message)
{
    struct redis_link *link = redis_pick(redis);
    if (link != NULL)
        publish(redis, link, message, on_published, redis);
    return link != NULL;
}

/* ---- invalidating ---- */

struct invalidation {
    struct redis *redis;
    struct redis_link *link;
    uint32_t server;
    void (*done)(void *arg);
    void *arg;
    int waits; /* for so many answers */
    bool untold;
    int count;
    uint32_t slots[];
};

/* Told to one server, it is owed to another that is read from meanwhile. */
static void settle(struct invalidation *v)
{
    struct tags *tags = v->redis->tags;
    if (--v->waits > 0)
        return;
    if (v->untold || tags_redis_server(tags) != v->server)
        tags_owe_redis(tags);
    v->done(v->arg);
    free(v);
}

static void told(void *arg, const redisReply *reply)
{
    struct invalidation *v = arg;
    v->untold |= redis_failed(v->redis, reply);
    settle(v);
}

/* Who refuses a message refuses every one: then the others' answers live as long as their ttl says. Where it is not
 * known whether the others have word of it, they are told to drop everything, with what is owed. */
static void published(void *arg, const redisReply *reply)
{
    struct invalidation *v = arg;
    redis_failed(v->redis, reply);
    v->untold |= reply == NULL;
    settle(v);
}

/* Of each slot: a key, or a key and its new version. */
static void send_slots(struct invalidation *v, const char *command, bool versions, redis_replied *replied)
{
    size_t each = versions ? 2 : 1, count = (size_t)v->count;
    char(*keys)[REDIS_KEY_BYTES] = xcalloc(count, sizeof *keys);
    char(*values)[24] = xcalloc(count, sizeof *values);
    const char **argv = xcalloc(1 + each * count, sizeof *argv);
    argv[0] = command;
    for (size_t i = 0; i < count; i++) {
        redis_version_key(v->redis, (int)i + 1, v->slots, keys[i]);
        argv[1 + each * i] = keys[i];
        if (!versions)
            continue;
        snprintf(values[i], sizeof values[i], "%llu", (unsigned long long)redis_new_version());
        argv[2 + each * i] = values[i];
    }
    redis_link_send(v->link, (int)(1 + each * count), argv, NULL, replied, v);
    free(keys);
    free(values);
    free(argv);
}

/* No version is as good as another one. */
static void raised(void *arg, const redisReply *reply)
{
    struct invalidation *v = arg;
    if (is_out_of_memory(reply))
        send_slots(v, "DEL", false, told);
    else
        told(arg, reply);
}

void redis_invalidate(struct redis *redis, const uint32_t *slots, int count, bool tells, void (*done)(void *arg),
                      void *arg)
{
    struct invalidation *v = xcalloc(1, sizeof *v + (size_t)count * sizeof *slots);
    struct redis_link *link = redis_pick_clean(redis);
    if (link == NULL)
        link = redis_pick(redis);
    *v = (struct invalidation){.redis = redis, .link = link, .done = done, .arg = arg, .waits = 1, .count = count};
    memcpy(v->slots, slots, (size_t)count * sizeof *slots);
    if (link == NULL) {
        redis_link_refuse(redis->links[0], told, v);
        return;
    }
    v->server = redis_link_server(link);
    send_slots(v, "MSET", true, raised);
    if (!tells || redis->service->conf->redis.listen == LISTEN_OFF)
        return;
    v->waits++;
    redis->message.len = 0;
    redis_message_drop(&redis->message, tags_sender(redis->tags), slots, count);
    publish(redis, link, redis->message.at, published, v);
}

/* ---- what is owed ---- */

struct payment {
    struct redis *redis;
    struct redis_link *link;
    uint32_t server, debt;
    uint64_t receipt;
    int waits; /* for so many answers */
    bool failed;
};

static void settle_payment(struct payment *p)
{
    if (--p->waits > 0)
        return;
    p->redis->paying = false;
    if (!p->failed)
        tags_redis_paid(p->redis->tags, p->receipt, p->server, p->debt);
    free(p);
}

static void paid(void *arg, const redisReply *reply)
{
    struct payment *p = arg;
    p->failed |= redis_failed(p->redis, reply);
    settle_payment(p);
}

static void epoch_raised(void *arg, const redisReply *reply)
{
    struct payment *p = arg;
    char key[REDIS_KEY_BYTES];
    redis_version_key(p->redis, 0, NULL, key);
    if (is_out_of_memory(reply))
        redis_link_send(p->link, 2, (const char *[]){"DEL", key}, NULL, paid, p);
    else
        paid(arg, reply);
}

/* As published(). */
static void others_told(void *arg, const redisReply *reply)
{
    struct payment *p = arg;
    redis_failed(p->redis, reply);
    p->failed |= reply == NULL;
    settle_payment(p);
}

/* Others were not told of what was owed. A server that is new here was told; what it has forgotten is its own. */
static void tell_others(struct payment *p)
{
    struct redis *redis = p->redis;
    if (redis->service->conf->redis.listen == LISTEN_OFF || (uint32_t)p->receipt == p->debt)
        return;
    p->waits++;
    redis->message.len = 0;
    redis_message_all(&redis->message, tags_sender(redis->tags));
    publish(redis, p->link, redis->message.at, others_told, p);
}

static struct redis_link *creditor(const struct redis *redis)
{
    for (int i = 0; i < redis->link_count; i++)
        if (redis_link_up(redis->links[i]) && !tags_redis_clean(redis->tags, redis_link_server(redis->links[i])))
            return redis->links[i];
    return NULL;
}

void redis_tick(struct redis *redis)
{
    struct redis_link *link = creditor(redis);
    if (link == NULL || redis->paying)
        return;
    char key[REDIS_KEY_BYTES], value[24];
    struct payment *p = xcalloc(1, sizeof *p);
    *p = (struct payment){.redis = redis, .link = link, .server = redis_link_server(link), .waits = 1};
    p->receipt = tags_redis_receipt(redis->tags);
    p->debt = tags_redis_debt(redis->tags);
    redis->paying = true;
    redis_version_key(redis, 0, NULL, key);
    snprintf(value, sizeof value, "%llu", (unsigned long long)redis_new_version());
    redis_link_send(link, 3, (const char *[]){"SET", key, value}, NULL, epoch_raised, p);
    tell_others(p);
}

/* ---- connections ---- */

static int count_up(const struct redis *redis)
{
    int up = 0;
    for (int i = 0; i < redis->link_count; i++)
        up += redis_link_up(redis->links[i]);
    return up;
}

static void note_up(struct redis *redis)
{
    stats_set(redis->service->stats, redis->service->slot, STAT_redis_up, count_up(redis));
}

static void on_up(void *arg)
{
    struct redis *redis = arg;
    note_up(redis);
    if (redis->choked_on[0] != '\0')
        redis_link_send(redis_pick(redis), 2, (const char *[]){"UNLINK", redis->choked_on}, NULL, on_published, redis);
    redis->choked_on[0] = '\0';
    redis->complained = false;
    redis_tick(redis);
}

/* A server that hangs hangs for all: nobody else waits for it. */
static void on_down(void *arg, bool slow)
{
    struct redis *redis = arg;
    if (slow && !redis->tripping) {
        redis->tripping = true;
        service_count(redis->service, STAT_redis_trips);
        for (int i = 0; i < redis->link_count; i++)
            redis_link_give_up(redis->links[i], true, "another connection waits in vain");
        redis->tripping = false;
    }
    note_up(redis);
}

bool redis_settled(const struct redis *redis)
{
    for (int i = 0; i < redis->link_count; i++)
        if (!redis_link_tried(redis->links[i]))
            return false;
    return count_up(redis) == 0 || tags_redis_is_paid(redis->tags);
}

static void connect_all(struct redis *redis, const struct conf *conf)
{
    static const struct redis_link_events events = {on_up, on_down, NULL};
    char epoch[REDIS_KEY_BYTES];
    struct redis_url url;
    struct err err;
    CHECK(redis_url_parse(conf->redis.url, &url, &err)); /* the configuration's parser has tried it */
    redis_version_key(redis, 0, NULL, epoch);
    const struct redis_link_settings settings = {.url = &url,
                                                 .timeout_us = conf->redis.timeout_us,
                                                 .reply_max_bytes = redis->value_max_bytes + REPLY_SPARE_BYTES,
                                                 .probe_key = epoch};
    redis->link_count = conf->redis.connections;
    for (int i = 0; i < redis->link_count; i++)
        redis->links[i] = redis_link_create(redis->service->base, &settings, &events, redis);
}

struct redis *redis_create(struct service *service)
{
    const struct conf *conf = service->conf;
    struct redis *redis = xcalloc(1, sizeof *redis);
    redis->service = service;
    redis->tags = service->shared->tags;
    redis->prefix = conf->redis.prefix;
    redis->value_max_bytes = (size_t)conf->redis.max_value_bytes;
    redis_channel(conf, redis->channel);
    connect_all(redis, conf);
    note_up(redis); /* of the process before this one */
    return redis;
}
