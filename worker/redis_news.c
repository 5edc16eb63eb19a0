#include "worker/redis_news.h"
#include "common/clock.h"
#include "worker/redis_message.h"
#include "worker/redis_state.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* Of a message; a write drops tags by the thousand at most. */
enum { MESSAGE_MAX_BYTES = 256 << 10 };

struct redis_news {
    struct service *service;
    struct redis *redis;
    struct redis_news_events events;
    void *arg;
    struct redis_link *link;
    struct event beat;
    int64_t beat_us;
    uint64_t sender, number; /* of the last beat */
    int64_t sent_us;         /* 0: none is on its way */
    bool others;
    struct buf message;
    uint32_t *slots; /* kept for its memory */
    size_t slot_room;
};

static void add_beat(struct redis_news *n, int64_t delay_us)
{
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(&n->beat, &tv);
}

/* ---- beats ---- */

/* One that does not come back was said on another server, or its connection is dead without a word. */
static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_news *n = arg;
    add_beat(n, n->beat_us);
    redis_tick(n->redis);
    if (n->sent_us != 0 && redis_link_up(n->link)) {
        n->sent_us = 0;
        redis_link_give_up(n->link, false, "a message that perfd said to itself did not come");
        return;
    }
    if (!redis_link_up(n->link))
        return;
    int64_t now_us = clock_mono_us();
    n->message.len = 0;
    redis_message_beat(&n->message, n->sender, ++n->number);
    n->sent_us = redis_say(n->redis, n->message.at) ? now_us : 0;
}

/* ---- hearing ---- */

static void drop(struct redis_news *n, struct slice slots)
{
    int count = 0;
    if (n->slot_room < slots.len) {
        n->slot_room = slots.len;
        n->slots = xrealloc(n->slots, n->slot_room * sizeof *n->slots);
    }
    while (redis_message_next(&slots, &n->slots[count]))
        count++;
    n->events.dropped(n->arg, n->slots, count);
}

static void on_own(struct redis_news *n, const struct redis_message *message)
{
    if (message->kind != MESSAGE_BEAT || message->number != n->number || n->sent_us == 0)
        return;
    int64_t until_us = n->sent_us;
    n->sent_us = 0;
    n->events.heard(n->arg, until_us);
}

static void on_message(void *arg, const redisReply *text)
{
    struct redis_news *n = arg;
    struct redis_message message;
    if (!redis_message_read(slice_of(text->str, text->len), &message)) {
        service_count(n->service, STAT_redis_bad_messages);
        return;
    }
    if (message.sender == n->sender) {
        on_own(n, &message);
        return;
    }
    if (!n->others)
        n->events.others(n->arg);
    n->others = true;
    switch (message.kind) {
    case MESSAGE_BEAT:
        return;
    case MESSAGE_DROP:
        drop(n, message.slots);
        return;
    case MESSAGE_ALL:
        n->events.dropped(n->arg, NULL, 0);
        return;
    }
}

static void on_up(void *arg)
{
    struct redis_news *n = arg;
    n->sent_us = 0;
    add_beat(n, 0);
    n->events.joined(n->arg, clock_mono_us());
}

static void on_down(void *arg, bool slow)
{
    (void)slow;
    struct redis_news *n = arg;
    n->sent_us = 0;
    n->events.lost(n->arg);
}

struct redis_news *redis_news_create(struct service *service, struct redis *redis, int64_t beat_us,
                                     const struct redis_news_events *events, void *arg)
{
    static const struct redis_link_events link_events = {on_up, on_down, on_message};
    struct redis_news *n = xcalloc(1, sizeof *n);
    struct redis_url url;
    struct err err;
    char channel[REDIS_KEY_BYTES];
    CHECK(redis_url_parse(service->conf->redis.url, &url, &err));
    redis_channel(service->conf, channel);
    const struct redis_link_settings settings = {.url = &url,
                                                 .timeout_us = service->conf->redis.timeout_us,
                                                 .reply_max_bytes = MESSAGE_MAX_BYTES,
                                                 .probe_key = channel,
                                                 .channel = channel};
    n->service = service;
    n->redis = redis;
    n->events = *events;
    n->arg = arg;
    n->beat_us = beat_us;
    n->sender = tags_sender(service->shared->tags);
    n->number = redis_new_version() >> 8; /* another keeper's, at a reload, are never taken for its own */
    n->link = redis_link_create(service->base, &settings, &link_events, n);
    event_assign(&n->beat, service->base, -1, 0, on_beat, n);
    add_beat(n, beat_us);
    return n;
}
