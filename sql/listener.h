/* A session that LISTENs on the channel perfd, made anew whenever it is lost. Everything is asynchronous on the event
 * loop; callbacks come from there, never inside a listener_*() call.
 *
 * A socket may be dead without a word, so the session notifies itself every so often, on a channel of its own.
 * PostgreSQL delivers notifications in the order of commits, so that one that comes back proves more than life: all
 * that was committed before it was sent has been told. */
#ifndef SQL_LISTENER_H
#define SQL_LISTENER_H

#include "common/base.h"

struct event_base;
struct listener;

struct listener_settings {
    const char *url;              /* it need not name the primary alone: that is looked for among its hosts */
    int64_t answer_timeout_us;    /* of connecting, and of each heartbeat */
    int64_t statement_timeout_us; /* the session's */
    int64_t beat_us;              /* between heartbeats */
};

struct listener_events {
    /* A new session: what others commit after since_us (CLOCK_MONOTONIC) will be told. What was committed before may
     * have been missed. watched: the database has perfd_watch(), so somebody may notify. */
    void (*joined)(void *arg, int64_t since_us, bool watched);
    void (*notified)(void *arg, const char *payload);
    void (*heard)(void *arg, int64_t until_us); /* all that was committed before has been told */
    void (*lost)(void *arg, const char *why);   /* no session; also each time that none could be made */
};

struct listener *listener_create(struct event_base *base, const struct listener_settings *settings,
                                 const struct listener_events *events, void *arg) MUST_USE;
void listener_destroy(struct listener **listener);
/* Somebody relies on being told: there are heartbeats from now on. Without, the session is only looked after. */
void listener_rely(struct listener *listener);

#endif
