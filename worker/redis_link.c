#include "worker/redis_link.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/resolve.h"
#include "worker/redis_url.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_LEAST_US (250 * US_PER_MS)
#define BACKOFF_MIN_US (100 * US_PER_MS)
#define BACKOFF_MAX_US US_PER_S

enum link_state { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_GREETING, LINK_UP };

struct command {
    struct redis_link *link;
    redis_replied *replied;
    void *arg;
    int64_t deadline_us;
    struct command *next;
};

struct redis_link {
    struct event_base *base;
    struct redis_url url;
    void (*up)(void *arg);
    void *arg;
    int64_t timeout_us, backoff_us;
    enum link_state state;
    bool was_up, told;
    bool overdue; /* the first command's time is up; its answer may lie unread in the socket */
    struct resolve *resolve;
    unsigned attempts; /* each tries the name's next address */
    struct event resolved;
    redisAsyncContext *ac;
    struct command *first, **last;           /* sent, in the order in which answers come */
    struct command *refused, **refused_last; /* never sent: told from the loop */
    struct event timer; /* LINK_DOWN: the next attempt; else the first command's time-out, or the connect's */
    struct event tell;
};

static void add_timer(struct event *event, int64_t delay_us)
{
    delay_us = MAX(delay_us, INT64_C(0));
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(event, &tv);
}

static void watch_first(struct redis_link *link)
{
    if (link->first != NULL)
        add_timer(&link->timer, link->first->deadline_us - clock_mono_us());
    else
        event_del(&link->timer);
}

static void stop_resolving(struct redis_link *link)
{
    event_del(&link->resolved);
    resolve_destroy(&link->resolve);
}

/* What hiredis still owes comes with NULL out of redisAsyncFree(). */
static void go_down(struct redis_link *link, const char *why)
{
    redisAsyncContext *ac = link->ac;
    if (link->state == LINK_UP || !link->told)
        log_warn("Redis: %s; going on without it", why);
    link->told = true;
    if (link->state == LINK_RESOLVING)
        stop_resolving(link);
    link->state = LINK_DOWN;
    link->overdue = false;
    link->ac = NULL;
    link->backoff_us = MIN(MAX(link->backoff_us * 2, BACKOFF_MIN_US), BACKOFF_MAX_US);
    if (ac != NULL)
        redisAsyncFree(ac);
    add_timer(&link->timer, link->backoff_us);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
    (void)ac;
    struct command *command = arg;
    struct redis_link *link = command->link;
    CHECK(link->first == command);
    link->first = command->next;
    if (link->first == NULL)
        link->last = &link->first;
    link->overdue = false;
    redis_replied *replied = command->replied;
    void *replied_arg = command->arg;
    free(command);
    if (link->state != LINK_DOWN)
        watch_first(link);
    if (replied != NULL)
        replied(replied_arg, reply);
}

static void refuse(struct redis_link *link, struct command *command)
{
    command->next = NULL;
    *link->refused_last = command;
    link->refused_last = &command->next;
    event_active(&link->tell, EV_TIMEOUT, 1);
}

/* hiredis refuses while it disconnects. */
static void send_now(struct redis_link *link, struct command *command, int argc, const char **argv, const size_t *lens)
{
    if (redisAsyncCommandArgv(link->ac, on_reply, command, argc, argv, lens) != REDIS_OK) {
        refuse(link, command);
        return;
    }
    bool first = link->first == NULL;
    *link->last = command;
    link->last = &command->next;
    if (first)
        watch_first(link);
}

static struct command *command_create(struct redis_link *link, redis_replied *replied, void *arg)
{
    struct command *command = xcalloc(1, sizeof *command);
    *command = (struct command){link, replied, arg, clock_mono_us() + link->timeout_us, NULL};
    return command;
}

void redis_link_send(struct redis_link *link, int argc, const char **argv, const size_t *lens, redis_replied *replied,
                     void *arg)
{
    struct command *command = command_create(link, replied, arg);
    if (link->state == LINK_UP) {
        send_now(link, command, argc, argv, lens);
        return;
    }
    refuse(link, command);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    struct command *command = link->refused;
    link->refused = NULL;
    link->refused_last = &link->refused;
    while (command != NULL) {
        struct command *next = command->next;
        if (command->replied != NULL)
            command->replied(command->arg, NULL);
        free(command);
        command = next;
    }
}

/* ---- connecting ---- */

static void greeted(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL || link->state != LINK_GREETING)
        return; /* go_down() was there already, or comes with the disconnect */
    if (reply->type == REDIS_REPLY_ERROR) {
        go_down(link, reply->str);
        return;
    }
    if (link->first != NULL)
        return; /* AUTH or SELECT; PING is the last */
    if (link->was_up || link->told)
        log_info("Redis answers");
    link->state = LINK_UP;
    link->was_up = true;
    link->told = false;
    link->backoff_us = 0;
    link->up(link->arg);
}

static void greet(struct redis_link *link, int argc, const char **argv)
{
    send_now(link, command_create(link, greeted, link), argc, argv, NULL);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    if (link == NULL || link->ac != ac)
        return;
    if (status != REDIS_OK) {
        link->ac = NULL; /* hiredis frees it */
        go_down(link, ac->errstr);
        return;
    }
    char db[16];
    snprintf(db, sizeof db, "%d", link->url.db);
    link->state = LINK_GREETING;
    event_del(&link->timer);
    if (link->url.user[0] && link->url.password[0])
        greet(link, 3, (const char *[]){"AUTH", link->url.user, link->url.password});
    else if (link->url.password[0])
        greet(link, 2, (const char *[]){"AUTH", link->url.password});
    if (link->url.db > 0)
        greet(link, 2, (const char *[]){"SELECT", db});
    greet(link, 1, (const char *[]){"PING"});
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    if (link == NULL || link->ac != ac)
        return;
    link->ac = NULL;
    go_down(link, status == REDIS_OK ? "disconnected" : ac->errstr);
}

/* address: of the host; hiredis would resolve a name itself, and block. */
static void connect_to(struct redis_link *link, const char *address)
{
    link->state = LINK_CONNECTING;
    link->ac = link->url.path[0] ? redisAsyncConnectUnix(link->url.path) : redisAsyncConnect(address, link->url.port);
    CHECK(link->ac != NULL);
    if (link->ac->err) {
        char why[160];
        snprintf(why, sizeof why, "%s", link->ac->errstr);
        go_down(link, why);
        return;
    }
    link->ac->data = link;
    redisLibeventAttach(link->ac, link->base);
    redisAsyncSetConnectCallback(link->ac, on_connect);
    redisAsyncSetDisconnectCallback(link->ac, on_disconnect);
}

/* Of several with spaces between them; cuts the list. */
static const char *nth_address(char *addresses, unsigned n)
{
    unsigned count = 1;
    for (const char *at = addresses; (at = strchr(at, ' ')) != NULL; at++)
        count++;
    char *at = addresses;
    for (n %= count; n > 0; n--)
        strsep(&at, " ");
    return strsep(&at, " ");
}

static void on_resolved(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    const char *error;
    char *addresses = resolve_take(link->resolve, &error);
    if (addresses == NULL) {
        go_down(link, error);
        return;
    }
    stop_resolving(link);
    connect_to(link, nth_address(addresses, link->attempts++));
    free(addresses);
}

static void connect_now(struct redis_link *link)
{
    int fd;
    add_timer(&link->timer, MAX(link->timeout_us, CONNECT_LEAST_US));
    if (link->url.path[0] || !resolve_is_name(link->url.host)) {
        connect_to(link, link->url.host);
        return;
    }
    link->state = LINK_RESOLVING;
    link->resolve = resolve_start(link->url.host, &fd);
    event_assign(&link->resolved, link->base, link->resolve ? fd : -1, EV_READ, on_resolved, link);
    if (link->resolve == NULL)
        go_down(link, "no thread can be started to resolve the host's name");
    else
        event_add(&link->resolved, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct redis_link *link = arg;
    int64_t now_us = clock_mono_us();
    if (link->state == LINK_DOWN) {
        connect_now(link);
    } else if (link->first != NULL && link->first->deadline_us > now_us) {
        watch_first(link); /* libevent counts from when the loop woke up */
    } else if (link->first != NULL && !link->overdue) {
        /* It may be this loop that was late: what came meanwhile is read first. */
        link->overdue = true;
        add_timer(&link->timer, US_PER_MS);
    } else {
        go_down(link, "no answer within its timeout");
    }
}

struct redis_link *redis_link_create(struct event_base *base, const struct conf *conf, void (*up)(void *arg), void *arg)
{
    struct err err;
    struct redis_link *link = xcalloc(1, sizeof *link);
    link->base = base;
    link->up = up;
    link->arg = arg;
    link->timeout_us = conf->redis.timeout_us;
    link->last = &link->first;
    link->refused_last = &link->refused;
    event_assign(&link->timer, base, -1, 0, on_timer, link);
    event_assign(&link->tell, base, -1, 0, on_tell, link);
    if (redis_url_parse(conf->redis.url, &link->url, &err))
        add_timer(&link->timer, 0);
    else
        log_error("redis: %s", err.text);
    return link;
}

void redis_link_destroy(struct redis_link **doomed)
{
    struct redis_link *link = *doomed;
    *doomed = NULL;
    if (link->ac != NULL) {
        redisAsyncContext *ac = link->ac;
        link->ac = NULL;
        link->state = LINK_DOWN;
        redisAsyncFree(ac);
    }
    if (link->state == LINK_RESOLVING)
        stop_resolving(link);
    on_tell(-1, 0, link);
    event_del(&link->timer);
    event_del(&link->tell);
    free(link);
}

bool redis_link_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

bool redis_link_tried(const struct redis_link *link)
{
    return link->state == LINK_UP || link->told;
}
