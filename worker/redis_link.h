/* A connection to Redis that is made anew whenever it is lost. It finds the server: of the url's hosts, or of what the
 * Sentinels name, the one that says that it is a writable master, and keeps asking it. Commands are pipelined and have
 * a time-out each. A server that fails, or lets one run out, is left alone but for probes (redis_breaker.h): all that
 * wait fail together, and until a probe succeeds every command fails at once. */
#ifndef WORKER_REDIS_LINK_H
#define WORKER_REDIS_LINK_H

#include "common/redis_url.h"

#include <hiredis/hiredis.h>
#include <string.h>

struct event_base;
struct redis_link;

struct redis_link_settings {
    const struct redis_url *url; /* copied */
    int64_t timeout_us;
    size_t reply_max_bytes;
    const char *probe_key; /* read as a probe; copied */
    const char *channel;   /* subscribed to, and no other command may be sent; NULL: none. Copied */
};

/* From the loop. */
struct redis_link_events {
    void (*up)(void *arg);              /* the server begins to answer */
    void (*down)(void *arg, bool slow); /* it was up, or none answers at the start. slow: it was up until a time-out */
    void (*message)(void *arg, const redisReply *text); /* published on the channel: a string */
};

/* reply is NULL when the command failed, timed out or was not sent; it goes after the call. */
typedef void redis_replied(void *arg, const redisReply *reply);

struct redis_link *redis_link_create(struct event_base *base, const struct redis_link_settings *settings,
                                     const struct redis_link_events *events, void *arg) MUST_USE;
bool redis_link_up(const struct redis_link *link);
bool redis_link_tried(const struct redis_link *link); /* it is up, or every server was tried in vain */
/* Of which run of which server it is, while it is up; never 0. One that was restarted may have come back with old data,
 * and one that was a replica may lack the last that its master was told. */
uint32_t redis_link_server(const struct redis_link *link);
/* Inside a callback without a reply: it failed because its own reply was too long to be taken. */
bool redis_link_choked(const struct redis_link *link);
size_t redis_link_unsent_bytes(const struct redis_link *link);

/* The callback comes from the loop, exactly once; it may be NULL. The words are copied. lens NULL: each ends with its
 * NUL. */
void redis_link_send(struct redis_link *link, int argc, const char *const *argv, const size_t *lens,
                     redis_replied *replied, void *arg);
/* As if the link were down. */
void redis_link_refuse(struct redis_link *link, redis_replied *replied, void *arg);
/* Takes the server for one that fails. From the loop. slow: as by a time-out. */
void redis_link_give_up(struct redis_link *link, bool slow, const char *why);

/* Of an error's words, without what they repeat of the command: a key, or a password (`unknown command 'AUTH', with
 * args beginning with: ...`, where an admin has renamed it). */
static inline int redis_words_len(const char *words)
{
    const char *args = strstr(words, ", with args");
    return args != NULL ? (int)(args - words) : (int)strlen(words);
}

#endif
