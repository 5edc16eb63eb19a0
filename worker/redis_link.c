#include "worker/redis_link.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/redis_breaker.h"
#include "worker/redis_dial.h"
#include "worker/redis_greet.h"
#include "worker/redis_wire.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_LEAST_US (250 * US_PER_MS)
/* Between looks whether the server is still the master. */
#define LOOK_US US_PER_S

enum link_state { LINK_DOWN, LINK_DIALING, LINK_GREETING, LINK_UP };

struct command {
    struct redis_link *link;
    redis_replied *replied;
    void *arg;
    int64_t deadline_us;
    struct command *next;
};

struct line {
    struct command *first, **last;
};

struct redis_link {
    struct event_base *base;
    struct redis_url url;
    struct redis_link_events events;
    void *arg;
    int64_t timeout_us;
    size_t reply_max_bytes;
    char *probe_key, *channel;

    enum link_state state;
    bool told;    /* the log knows that it is down */
    bool warned;  /* and that it does not tell who it is */
    bool overdue; /* the first command's time is up; its answer may lie unread in the socket */
    bool choked;
    bool asking;    /* it leads to a Sentinel */
    unsigned tries; /* each is with the url's next host, or the next address of its name */
    struct redis_host place;
    uint32_t server;
    struct redis_breaker breaker;
    struct redis_dial *dial;
    struct redis_wire *wire;
    struct line sent;    /* in the order in which answers come */
    struct line refused; /* never sent: told from the loop */
    struct event timer;  /* LINK_DOWN: the next attempt; else the first command's time-out, or the dial's */
    struct event tell, look;
};

static void add_timer(struct event *event, int64_t delay_us)
{
    delay_us = MAX(delay_us, INT64_C(0));
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(event, &tv);
}

/* ---- commands ---- */

static void line_init(struct line *line)
{
    line->first = NULL;
    line->last = &line->first;
}

static void line_add(struct line *line, struct command *command)
{
    command->next = NULL;
    *line->last = command;
    line->last = &command->next;
}

static struct command *line_take(struct line *line)
{
    struct command *command = line->first;
    line->first = command->next;
    if (line->first == NULL)
        line->last = &line->first;
    return command;
}

static void tell(struct command *command, const redisReply *reply)
{
    redis_replied *replied = command->replied;
    void *arg = command->arg;
    free(command);
    if (replied != NULL)
        replied(arg, reply);
}

/* Those that are added meanwhile wait for their own turn. */
static void tell_all(struct line *line)
{
    struct line doomed = *line;
    if (doomed.first == NULL)
        return;
    line_init(line);
    while (doomed.first != NULL) {
        struct command *command = doomed.first;
        doomed.first = command->next;
        tell(command, NULL);
    }
}

static void watch_first(struct redis_link *link)
{
    if (link->sent.first != NULL)
        add_timer(&link->timer, link->sent.first->deadline_us - clock_mono_us());
    else
        event_del(&link->timer);
}

static void send_now(struct redis_link *link, int64_t timeout_us, int argc, const char *const *argv, const size_t *lens,
                     redis_replied *replied, void *arg)
{
    struct command *command = xcalloc(1, sizeof *command);
    bool first = link->sent.first == NULL;
    *command = (struct command){link, replied, arg, clock_mono_us() + timeout_us, NULL};
    redis_wire_send(link->wire, argc, argv, lens);
    line_add(&link->sent, command);
    if (first)
        watch_first(link);
}

void redis_link_refuse(struct redis_link *link, redis_replied *replied, void *arg)
{
    struct command *command = xcalloc(1, sizeof *command);
    *command = (struct command){link, replied, arg, 0, NULL};
    line_add(&link->refused, command);
    event_active(&link->tell, EV_TIMEOUT, 1);
}

void redis_link_send(struct redis_link *link, int argc, const char *const *argv, const size_t *lens,
                     redis_replied *replied, void *arg)
{
    if (link->state == LINK_UP)
        send_now(link, link->timeout_us, argc, argv, lens, replied, arg);
    else
        redis_link_refuse(link, replied, arg);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    tell_all(&link->refused);
}

/* ---- down ---- */

static void hang_up(struct redis_link *link)
{
    if (link->dial != NULL)
        redis_dial_cancel(&link->dial);
    if (link->wire != NULL) {
        link->choked = redis_wire_choked(link->wire);
        redis_wire_destroy(&link->wire);
    }
    event_del(&link->look);
    link->overdue = false;
}

/* A host that is not it costs no pause: the next one may be. */
static bool is_round_over(const struct redis_link *link)
{
    return link->tries % (unsigned)MAX(link->url.host_count, 1) == 0;
}

static void fail(struct redis_link *link, bool slow, const char *why)
{
    bool was_up = link->state == LINK_UP;
    char text[240];
    snprintf(text, sizeof text, "%.*s", redis_words_len(why), why); /* the wire's own words go with it */
    hang_up(link);
    link->state = LINK_DOWN;
    link->asking = false;
    link->tries = was_up ? 0 : link->tries + 1;
    bool pauses = was_up || is_round_over(link), tells = was_up || (pauses && !link->told);
    if (tells)
        log_warn("Redis: %s; going on without it", text);
    link->told |= tells;
    add_timer(&link->timer, pauses ? redis_breaker_down(&link->breaker, slow, clock_mono_us()) : 0);
    if (link->choked && link->sent.first != NULL)
        tell(line_take(&link->sent), NULL); /* its answer was too long; the others lose theirs by it */
    link->choked = false;
    tell_all(&link->sent);
    if (tells)
        link->events.down(link->arg, slow && was_up);
}

void redis_link_give_up(struct redis_link *link, bool slow, const char *why)
{
    if (link->state == LINK_UP)
        fail(link, slow, why);
}

static void on_ended(void *arg, const char *why)
{
    fail(arg, false, why);
}

/* ---- answers ---- */

/* The server is no place for commands any more, whatever this one was. */
static bool is_fatal(const redisReply *reply)
{
    static const char *const words[] = {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS"};
    for (size_t i = 0; i < ARRAY_LEN(words) && reply->type == REDIS_REPLY_ERROR; i++)
        if (strncmp(reply->str, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static bool is_message(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "message") == 0 && reply->element[2]->type == REDIS_REPLY_STRING;
}

static void on_reply(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (link->channel != NULL && is_message(reply)) {
        if (link->state == LINK_UP)
            link->events.message(link->arg, reply->element[2]);
        return;
    }
    if (link->sent.first == NULL) {
        fail(link, false, "it says what nobody asked for");
        return;
    }
    struct command *command = line_take(&link->sent);
    link->overdue = false;
    watch_first(link);
    bool up = link->state == LINK_UP;
    char why[200] = "";
    if (up && is_fatal(reply))
        snprintf(why, sizeof why, "%s", reply->str);
    tell(command, reply);
    if (why[0] != '\0')
        redis_link_give_up(link, false, why);
}

/* ---- connecting ---- */

static void dial(struct redis_link *link);

static void greet(struct redis_link *link, const struct redis_greeting *words, redis_replied *replied)
{
    send_now(link, link->asking ? MAX(link->timeout_us, CONNECT_LEAST_US) : link->timeout_us, words->argc, words->argv,
             NULL, replied, link);
}

/* NULL: fail() was there already. */
static bool is_greeting(const struct redis_link *link, const redisReply *reply)
{
    return reply != NULL && link->state == LINK_GREETING;
}

static void on_plain(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (is_greeting(link, reply) && reply->type == REDIS_REPLY_ERROR)
        fail(link, false, reply->str);
}

static void on_server(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (!is_greeting(link, reply))
        return;
    bool known = redis_greet_server(reply, &link->place, link->url.path, &link->server);
    if (!known && !link->warned)
        log_warn("Redis does not tell INFO server: a restart that brings old data back will not be noticed");
    link->warned |= !known;
}

static void on_role(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL || link->state < LINK_GREETING || redis_greet_is_master(reply))
        return;
    fail(link, false, link->state == LINK_UP ? "the server is no master any more" : "the server is a replica");
}

static void come_up(struct redis_link *link)
{
    if (link->told)
        log_info("Redis answers");
    link->told = false;
    link->state = LINK_UP;
    redis_breaker_up(&link->breaker, clock_mono_us());
    if (link->channel == NULL)
        add_timer(&link->look, LOOK_US);
    link->events.up(link->arg);
}

static void on_probe(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (!is_greeting(link, reply))
        return;
    if (reply->type == REDIS_REPLY_ARRAY)
        come_up(link);
    else
        fail(link, false, reply->type == REDIS_REPLY_ERROR ? reply->str : "its answer has another shape");
}

static void on_master(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    const char *why;
    if (!is_greeting(link, reply))
        return;
    if (!redis_greet_master_at(reply, &link->place, &why)) {
        fail(link, false, why);
        return;
    }
    hang_up(link);
    link->asking = false;
    dial(link);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    const struct redis_greeting words = redis_greet_role();
    greet(link, &words, on_role);
    add_timer(&link->look, LOOK_US);
}

static void say_hello(struct redis_link *link)
{
    const struct redis_login *login = link->asking ? &link->url.sentinel_login : &link->url.login;
    struct redis_greeting words;
    char db[16];
    if (redis_greet_login(login, &words))
        greet(link, &words, on_plain);
    if (link->asking) {
        words = (struct redis_greeting){3, {"SENTINEL", "get-master-addr-by-name", link->url.service}};
        greet(link, &words, on_master);
        return;
    }
    snprintf(db, sizeof db, "%d", link->url.db);
    words = (struct redis_greeting){2, {"SELECT", db}};
    if (link->url.db > 0)
        greet(link, &words, on_plain);
    words = (struct redis_greeting){2, {"INFO", "server"}};
    greet(link, &words, on_server);
    words = redis_greet_role();
    greet(link, &words, on_role);
    words = link->channel ? (struct redis_greeting){2, {"SUBSCRIBE", link->channel}}
                          : (struct redis_greeting){2, {"MGET", link->probe_key}};
    greet(link, &words, on_probe);
}

static void on_dialed(void *arg, int fd, const char *why)
{
    static const struct redis_wire_events events = {on_reply, on_ended};
    struct redis_link *link = arg;
    link->dial = NULL;
    if (fd < 0) {
        fail(link, false, why);
        return;
    }
    link->wire = redis_wire_create(link->base, fd, link->reply_max_bytes, &events, link);
    link->state = LINK_GREETING;
    event_del(&link->timer);
    say_hello(link);
}

static void dial(struct redis_link *link)
{
    unsigned address = link->tries / (unsigned)MAX(link->url.host_count, 1);
    link->state = LINK_DIALING;
    add_timer(&link->timer, MAX(link->timeout_us, CONNECT_LEAST_US));
    link->dial = redis_dial_start(link->base, link->url.path, &link->place, address, on_dialed, link);
}

static void begin(struct redis_link *link)
{
    if (link->url.host_count > 0)
        link->place = link->url.hosts[link->tries % (unsigned)link->url.host_count];
    link->asking = link->url.service[0] != '\0';
    dial(link);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    int64_t now_us = clock_mono_us();
    if (link->state == LINK_DOWN) {
        begin(link);
    } else if (link->sent.first != NULL && link->sent.first->deadline_us > now_us) {
        watch_first(link); /* libevent counts from when the loop woke up */
    } else if (link->sent.first != NULL && !link->overdue) {
        /* It may be this loop that was late: what came meanwhile is read first. */
        link->overdue = true;
        add_timer(&link->timer, US_PER_MS);
    } else {
        fail(link, true, "no answer within its timeout");
    }
}

struct redis_link *redis_link_create(struct event_base *base, const struct redis_link_settings *settings,
                                     const struct redis_link_events *events, void *arg)
{
    struct redis_link *link = xcalloc(1, sizeof *link);
    link->base = base;
    link->url = *settings->url;
    link->events = *events;
    link->arg = arg;
    link->timeout_us = settings->timeout_us;
    link->reply_max_bytes = settings->reply_max_bytes;
    link->probe_key = xstrdup(settings->probe_key);
    link->channel = settings->channel ? xstrdup(settings->channel) : NULL;
    line_init(&link->sent);
    line_init(&link->refused);
    event_assign(&link->timer, base, -1, 0, on_timer, link);
    event_assign(&link->tell, base, -1, 0, on_tell, link);
    event_assign(&link->look, base, -1, 0, on_look, link);
    add_timer(&link->timer, 0);
    return link;
}

bool redis_link_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

bool redis_link_tried(const struct redis_link *link)
{
    return link->state == LINK_UP || link->told;
}

uint32_t redis_link_server(const struct redis_link *link)
{
    return link->server;
}

bool redis_link_choked(const struct redis_link *link)
{
    return link->choked;
}

size_t redis_link_unsent_bytes(const struct redis_link *link)
{
    return link->wire ? redis_wire_unsent_bytes(link->wire) : 0;
}
