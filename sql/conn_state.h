/* What conn.c (a connection's life) and conn_trip.c (one round trip) share, and nobody else. */
#ifndef SQL_CONN_STATE_H
#define SQL_CONN_STATE_H

#include "common/resolve.h"
#include "sql/conn.h"
#include "sql/prepared.h"

#include <event2/event_struct.h>

/* What goes to the server in one trip, in order; answers come in the same order. */
enum step_kind {
    STEP_MODE,       /* SET default_transaction_read_only; with a STEP_SYNC of its own, as only the next transaction
                        heeds it */
    STEP_DEALLOCATE, /* the statements of an older generation */
    STEP_PREPARE,
    STEP_TIMEOUT, /* the transaction's statement_timeout */
    STEP_RUN,     /* or describe */
    STEP_SYNC,
};

struct step {
    enum step_kind kind;
    int statement;
};

struct conn {
    const struct conn_settings *settings;
    struct event_base *base;
    conn_changed *changed;
    void *arg;
    enum conn_state state;
    PGconn *pg;
    struct resolve *resolve;
    struct event io;     /* while connecting what is waited for, then libpq's input */
    struct event output; /* while libpq could not write all */
    struct event timer; /* the connect time-out, then the deadline; also tells `changed` from outside a conn_*() call */
    char error[512];
    bool doomed; /* the server said so while no work was under way */

    bool read_only;
    bool deallocate; /* the server still keeps statements of an older generation */
    struct prepared prepared;

    const struct pool_work *work;
    struct conn_reply reply;
    struct step *steps;
    int step_count, step_cap;
    int step; /* whose answer is due */
};

/* The one door to a state. */
void conn_set_state(struct conn *c, enum conn_state state, const char *why);
void conn_break(struct conn *c, enum conn_verdict verdict, const char *why);
void conn_lost(struct conn *c); /* with libpq's words */
/* From inside a conn_*() call: the timer's callback tells the owner. */
void conn_lost_in_call(struct conn *c);
void conn_set_timer(struct conn *c, int64_t delay_us);
/* What statement_timeout and set_config() take; rounded up, as 0 would mean none. */
int conn_timeout_ms(int64_t timeout_us);

/* Events of a connection that is set up. */
void conn_on_input(evutil_socket_t fd, short what, void *arg);
void conn_on_output(evutil_socket_t fd, short what, void *arg);

#endif
