#include "worker/changes.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/tags.h"
#include "sql/listener.h"
#include "worker/redis.h"
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
    struct service service; /* as much of it as Redis and statistics need */
    struct listener *listener;
    bool relied_on;   /* somebody notifies, or is configured to */
    int64_t until_us; /* all that was committed before has been told */
    int applying;     /* notifications that Redis has not been told of yet */
    bool joined_once, complained;
};

/* ---- dropping ---- */

/* What was told must have reached Redis, too. */
static void note_heard(struct changes *c)
{
    if (c->applying == 0)
        tags_set_heard(c->service.shared->tags, c->until_us);
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
    redis_invalidate(c->service.redis, a->slots, a->count, redis_told, a);
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
    c->relied_on = true;
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
    if (c->relied_on || watched)
        rely(c);
    tags_set_listen_tried(s->shared->tags);
    if (c->complained)
        log_info("changes of the data are heard of again");
    c->complained = false;
    c->joined_once = true;
}

static void on_notified(void *arg, const char *payload)
{
    struct changes *c = arg;
    stats_add(c->service.stats, c->service.slot, STAT_notifications, 1);
    if (!c->relied_on)
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
    tags_set_listen_tried(c->service.shared->tags);
    if (!c->complained)
        log_write(c->relied_on ? LOG_WARN : LOG_INFO, "changes of the data are not heard of: %s", why);
    c->complained = true;
}

/* ---- making ---- */

bool changes_alike(const struct conf *one, const struct conf *other)
{
    struct listens {
        const char *texts[5];
        int64_t numbers[6];
    } of[2];
    const struct conf *confs[] = {one, other};
    for (int i = 0; i < 2; i++) {
        const struct conf *conf = confs[i];
        of[i] = (struct listens){{conf->database.url, conf->database.listen_url, conf->redis.url, conf->redis.prefix},
                                 {conf->database.listen, conf->database.connect_timeout_us,
                                  conf->database.statement_timeout_us, conf->cache.ttl_without_listener_us,
                                  conf->redis.timeout_us}};
    }
    bool alike = memcmp(of[0].numbers, of[1].numbers, sizeof of[0].numbers) == 0;
    for (size_t i = 0; i < ARRAY_LEN(of[0].texts); i++)
        alike &= slice_eq(slice_str(of[0].texts[i]), slice_str(of[1].texts[i]));
    return alike;
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

struct changes *changes_create(const struct worker_start *start, struct event_base *base)
{
    static const struct listener_events events = {on_joined, on_notified, on_heard, on_lost};
    const struct conf *conf = start->conf;
    if (!conf->database.set || conf->database.listen == LISTEN_OFF) {
        stats_set(start->shared->stats, STATS_KEEPER, STAT_listener_up, 0); /* of the keeper before this one */
        return NULL;
    }
    struct changes *c = xcalloc(1, sizeof *c);
    service_init(&c->service, start, base);
    if (conf->database.listen == LISTEN_ON)
        tags_set_heard(start->shared->tags, NEVER_US);
    c->relied_on = tags_heard_us(start->shared->tags) > 0; /* by the keeper before this one */
    const struct listener_settings settings = {
        .url = conf->database.listen_url ? conf->database.listen_url : conf->database.url,
        .answer_timeout_us = conf->database.connect_timeout_us,
        .statement_timeout_us = conf->database.statement_timeout_us,
        .beat_us = MIN(conf->cache.ttl_without_listener_us / BEATS_A_LIFE, BEAT_MAX_US)};
    c->listener = listener_create(base, &settings, &events, c);
    return c;
}
