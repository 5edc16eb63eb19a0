#include "worker/changes.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/tags.h"
#include "sql/listener.h"
#include "worker/redis.h"
#include "worker/redis_news.h"
#include "worker/tag_list.h"

#include <stdlib.h>

/* Heartbeats are so frequent that lives are not capped while all is well. */
enum { BEATS_A_LIFE = 4 };
#define BEAT_MAX_US (2 * US_PER_S)
/* The moment since which nothing was heard where somebody should be listening from the start. */
#define NEVER_US 1
/* As a tag it stands for all of them. */
#define EVERYTHING "*"

struct changes {
    struct service service;    /* as much of it as Redis and statistics need */
    struct listener *listener; /* to the database; NULL: it is not configured */
    struct redis_news *news;   /* from other perfds; NULL likewise */
    bool listener_tried, news_tried;
    int64_t until_us;      /* all that was committed before has been told by the database */
    int64_t news_until_us; /* all that others said before has been told by Redis */
    int applying;          /* notifications that Redis has not been told of yet */
    bool joined_once, complained, news_complained;
};

static bool relies_on(const struct changes *c, enum tags_source source)
{
    return (source == TAGS_DATABASE ? c->listener != NULL : c->news != NULL) &&
           tags_relied(c->service.shared->tags, source);
}

/* ---- dropping ---- */

/* What was told must have reached Redis, too. */
static void note_heard(struct changes *c)
{
    struct tags *tags = c->service.shared->tags;
    if (relies_on(c, TAGS_DATABASE) && c->applying == 0)
        tags_set_heard(tags, c->until_us);
    else if (!relies_on(c, TAGS_DATABASE) && relies_on(c, TAGS_REDIS))
        tags_set_heard(tags, c->news_until_us);
}

static void note_tried(struct changes *c)
{
    if ((c->listener == NULL || c->listener_tried) && (c->news == NULL || c->news_tried))
        tags_set_listen_tried(c->service.shared->tags);
}

static void drop_everything(struct changes *c)
{
    shared_doubt(c->service.shared);
    if (c->service.redis != NULL)
        redis_tick(c->service.redis);
}

struct application {
    struct changes *changes;
    int count;
    uint32_t slots[];
};

static void apply(const struct application *a)
{
    tags_raise(a->changes->service.shared->tags, a->slots, a->count);
}

/* A fetch that began meanwhile may have found the old answer there. */
static void redis_told(void *arg)
{
    struct application *a = arg;
    struct changes *c = a->changes;
    apply(a);
    free(a);
    c->applying--;
    note_heard(c);
}

static void drop(struct application *a)
{
    struct changes *c = a->changes;
    apply(a);
    stats_add(c->service.stats, c->service.slot, STAT_notified_tags, a->count);
    if (c->service.redis == NULL) {
        free(a);
        return;
    }
    c->applying++;
    /* Who shares the data hears the database, too. */
    redis_invalidate(c->service.redis, a->slots, a->count, false, redis_told, a);
}

/* Each tag, and what is left of it without a blank in front: whoever notifies by hand may write "users, posts". NULL:
 * everything. */
static struct application *read_tags(struct changes *c, const char *payload)
{
    size_t bytes = strlen(payload);
    struct application *a = xmalloc(sizeof *a + (bytes + 1) * sizeof a->slots[0]);
    char *room = xmalloc(bytes + 1);
    struct slice tag;
    bool everything = false;
    *a = (struct application){c, 0};
    while (tag_list_next(&payload, room, &tag)) {
        everything |= slice_is(tag, EVERYTHING);
        a->slots[a->count++] = tags_slot(tag);
        if (tag.at[0] == ' ' && tag.len > 1)
            a->slots[a->count++] = tags_slot(slice_of(tag.at + 1, tag.len - 1));
    }
    free(room);
    if (everything) {
        free(a);
        a = NULL;
    }
    return a;
}

/* ---- hearing ---- */

/* Whatever was cached until now may be wrong by what was not heard. */
static void rely(struct changes *c)
{
    tags_rely(c->service.shared->tags, TAGS_DATABASE);
    drop_everything(c);
    note_heard(c);
    listener_rely(c->listener);
}

static void on_joined(void *arg, int64_t since_us, bool watched)
{
    struct changes *c = arg;
    struct service *s = &c->service;
    c->until_us = since_us;
    stats_set(s->stats, s->slot, STAT_listener_up, 1);
    stats_add(s->stats, s->slot, STAT_listener_reconnects, c->joined_once);
    if (relies_on(c, TAGS_DATABASE) || watched)
        rely(c);
    c->listener_tried = true;
    note_tried(c);
    if (c->complained)
        log_info("changes of the data are heard of again");
    c->complained = false;
    c->joined_once = true;
}

static void on_notified(void *arg, const char *payload)
{
    struct changes *c = arg;
    stats_add(c->service.stats, c->service.slot, STAT_notifications, 1);
    if (!relies_on(c, TAGS_DATABASE))
        rely(c);
    struct application *a = read_tags(c, payload);
    if (a == NULL)
        drop_everything(c);
    else if (a->count > 0)
        drop(a);
    else
        free(a);
}

static void on_heard(void *arg, int64_t until_us)
{
    struct changes *c = arg;
    c->until_us = until_us;
    note_heard(c);
}

/* Once for an outage; a database that has no perfd_watch() owes nothing. */
static void on_lost(void *arg, const char *why)
{
    struct changes *c = arg;
    stats_set(c->service.stats, c->service.slot, STAT_listener_up, 0);
    c->listener_tried = true;
    note_tried(c);
    if (!c->complained)
        log_write(relies_on(c, TAGS_DATABASE) ? LOG_WARN : LOG_INFO, "changes of the data are not heard of: %s", why);
    c->complained = true;
}

/* ---- hearing other perfds ---- */

/* Whatever was cached until now may be wrong by what was not heard; in Redis they told it themselves. */
static void rely_on_news(struct changes *c)
{
    tags_rely(c->service.shared->tags, TAGS_REDIS);
    if (!relies_on(c, TAGS_DATABASE))
        tags_raise_epoch(c->service.shared->tags);
    note_heard(c);
}

static void on_news_joined(void *arg, int64_t since_us)
{
    struct changes *c = arg;
    struct service *s = &c->service;
    c->news_until_us = since_us;
    stats_set(s->stats, s->slot, STAT_redis_listening, 1);
    if (relies_on(c, TAGS_REDIS))
        rely_on_news(c);
    c->news_tried = true;
    note_tried(c);
    if (c->news_complained)
        log_info("what other perfds drop is heard of again");
    c->news_complained = false;
}

static void on_others(void *arg)
{
    struct changes *c = arg;
    if (!relies_on(c, TAGS_REDIS))
        rely_on_news(c);
}

static void on_news_dropped(void *arg, const uint32_t *slots, int count)
{
    struct changes *c = arg;
    struct service *s = &c->service;
    if (slots == NULL)
        tags_raise_epoch(s->shared->tags);
    else
        tags_raise(s->shared->tags, slots, count);
    stats_add(s->stats, s->slot, STAT_redis_heard_tags, count);
}

static void on_news_heard(void *arg, int64_t until_us)
{
    struct changes *c = arg;
    c->news_until_us = until_us;
    note_heard(c);
}

static void on_news_lost(void *arg)
{
    struct changes *c = arg;
    stats_set(c->service.stats, c->service.slot, STAT_redis_listening, 0);
    c->news_tried = true;
    note_tried(c);
    if (!c->news_complained && relies_on(c, TAGS_REDIS))
        log_warn("what other perfds drop is not heard of");
    c->news_complained = relies_on(c, TAGS_REDIS);
}

/* ---- making ---- */

bool changes_alike(const struct conf *one, const struct conf *other)
{
    struct listens {
        const char *texts[4];
        int64_t numbers[7];
    } of[2];
    const struct conf *confs[] = {one, other};
    for (int i = 0; i < 2; i++) {
        const struct conf *conf = confs[i];
        of[i] = (struct listens){{conf->database.url, conf->database.listen_url, conf->redis.url, conf->redis.prefix},
                                 {conf->database.listen, conf->database.connect_timeout_us,
                                  conf->database.statement_timeout_us, conf->cache.ttl_without_listener_us,
                                  conf->redis.timeout_us, conf->redis.listen}};
    }
    bool alike = memcmp(of[0].numbers, of[1].numbers, sizeof of[0].numbers) == 0;
    for (size_t i = 0; i < ARRAY_LEN(of[0].texts); i++)
        alike &= slice_eq(slice_str(of[0].texts[i]), slice_str(of[1].texts[i]));
    return alike;
}

static int64_t beat_us(const struct conf *conf)
{
    return MIN(conf->cache.ttl_without_listener_us / BEATS_A_LIFE, BEAT_MAX_US);
}

static void service_init(struct service *s, const struct worker_start *start, struct event_base *base)
{
    *s = (struct service){.start = start,
                          .conf = start->conf,
                          .shared = start->shared,
                          .stats = start->shared->stats,
                          .slot = STATS_KEEPER,
                          .proc = start->proc,
                          .base = base};
    if (s->conf->redis.set)
        s->redis = redis_create(s);
}

static void listen_to_database(struct changes *c)
{
    static const struct listener_events events = {on_joined, on_notified, on_heard, on_lost};
    const struct conf *conf = c->service.conf;
    struct tags *tags = c->service.shared->tags;
    const struct listener_settings settings = {.url = conf->database.listen_url ? conf->database.listen_url
                                                                                : conf->database.url,
                                               .answer_timeout_us = conf->database.connect_timeout_us,
                                               .statement_timeout_us = conf->database.statement_timeout_us,
                                               .beat_us = beat_us(conf)};
    c->listener = listener_create(c->service.base, &settings, &events, c);
    if (conf->database.listen != LISTEN_ON)
        return;
    tags_rely(tags, TAGS_DATABASE);
    tags_set_heard(tags, NEVER_US);
}

static void listen_to_redis(struct changes *c)
{
    static const struct redis_news_events events = {on_news_joined, on_others, on_news_dropped, on_news_heard,
                                                    on_news_lost};
    struct service *s = &c->service;
    c->news = redis_news_create(s, s->redis, beat_us(s->conf), &events, c);
    if (s->conf->redis.listen != LISTEN_ON)
        return;
    tags_rely(s->shared->tags, TAGS_REDIS);
    tags_set_heard(s->shared->tags, NEVER_US);
}

struct changes *changes_create(const struct worker_start *start, struct event_base *base)
{
    bool database = conf_listens_to_database(start->conf), redis = conf_listens_to_redis(start->conf);
    stats_set(start->shared->stats, STATS_KEEPER, STAT_listener_up, 0); /* of the keeper before this one */
    stats_set(start->shared->stats, STATS_KEEPER, STAT_redis_listening, 0);
    if (!database && !redis)
        return NULL;
    struct changes *c = xcalloc(1, sizeof *c);
    service_init(&c->service, start, base);
    if (database)
        listen_to_database(c);
    if (redis)
        listen_to_redis(c);
    return c;
}

struct redis *changes_redis(const struct changes *c)
{
    return c->service.redis;
}
