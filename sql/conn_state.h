/* What conn.c (a connection's life), conn_connect.c (its begin), conn_send.c and conn_receive.c (its trips) share, and
 * nobody else. */
#ifndef SQL_CONN_STATE_H
#define SQL_CONN_STATE_H

#include "common/resolve.h"
#include "sql/conn.h"
#include "sql/prepared.h"

#include <event2/event_struct.h>

/* What goes to the server, in order; answers come in the same order. */
enum step_kind {
    STEP_MODE, /* SET plan_cache_mode or default_transaction_read_only; with a STEP_SYNC of its own, as only the next
                  transaction heeds it */
    STEP_DEALLOCATE, /* the statements of an older generation; likewise */
    STEP_PREPARE,
    STEP_SETTINGS, /* of the transaction, where the session has none */
    STEP_TIMEOUT,  /* the transaction's statement_timeout */
    STEP_RUN,      /* or describe */
    STEP_SYNC,     /* ends a transaction: the trips up to `trip` are back */
};

struct step {
    enum step_kind kind;
    int statement;
    struct conn_trip *trip; /* NULL: what it brings is dropped */
};

struct trip_line {
    struct conn_trip *first, *last;
};

void trip_line_push(struct trip_line *line, struct conn_trip *trip);
struct conn_trip *trip_line_pop(struct trip_line *line); /* NULL: empty */

struct conn {
    const struct conn_settings *settings;
    struct event_base *base;
    conn_changed *changed;
    void *arg;
    unsigned attempt;
    int host_count;
    enum conn_state state;
    PGconn *pg;
    struct resolve *resolve;
    struct event io;     /* while connecting what is waited for, then libpq's input */
    struct event output; /* while libpq could not write all */
    struct event more;   /* rows that came and are left for the next turn of the loop */
    struct event timer;  /* the connect time-out, then the next deadline; also tells `changed` from outside a conn_*()
                            call */
    int64_t timer_at_us; /* of a deadline; 0: not set */
    char error[512];
    bool abandoned;
    bool doomed; /* the server said that it ends the session */

    bool read_only; /* once all that was sent has run */
    enum plan_mode plan;
    bool plan_unsure;
    bool deallocate; /* the server still keeps statements of an older generation */
    struct prepared prepared;

    struct trip_line taken, out, back; /* by conn_run(); sent; to be fetched by the owner */
    struct leases leases;              /* of trips that came back while the server may be at work on them */
    struct step *steps;                /* [step, step_count) are sent and not answered */
    int step, step_count, step_cap;
    bool in_results;          /* the present step has had one: NULL is to come, its end */
    int64_t dropped_until_us; /* by when the answers that conn_take_back() left must be there; 0: none are due */
    int64_t progress_us;      /* when the last answer came, or what is out was sent */
    int64_t began_us;         /* the transaction that is at work, or the set-up */
    int64_t way_us;
    int64_t paused_us; /* since when a taker has the server wait; 0: none has */
};

/* The one door to a state. */
void conn_set_state(struct conn *c, enum conn_state state, const char *why);
/* What is out may come back before the server is done with it. */
void conn_keep_leases(struct conn *c);
/* The trips that are out come back. */
void conn_break(struct conn *c, enum conn_verdict verdict, const char *why);
void conn_lost(struct conn *c); /* with libpq's words */
/* What came before the end and was not read yet may tell that the server ends the session on purpose. */
void conn_read_last_words(struct conn *c);
/* From inside a conn_*() call: the timer's callback tells the owner. */
void conn_lost_in_call(struct conn *c);
void conn_tell_later(struct conn *c);
void conn_set_timer(struct conn *c, int64_t delay_us);
void conn_await_deadline(struct conn *c, int64_t deadline_us, int64_t now_us);
/* What statement_timeout and set_config() take; rounded up, as 0 would mean none. */
int conn_timeout_ms(int64_t timeout_us);
/* With words of our own: no trip has what it was sent for. */
void conn_abandon(struct conn *c, const char *why);
bool conn_write_out(struct conn *c); /* false: the connection is lost */

/* Resolves and connects; its end is IDLE or BROKEN. */
void conn_start(struct conn *c);
/* The server's answer to the Sync that measures the way. */
void conn_on_set_up(struct conn *c);

/* Events of a connection that is connected. */
void conn_on_input(evutil_socket_t fd, short what, void *arg);
void conn_on_more(evutil_socket_t fd, short what, void *arg);
void conn_on_output(evutil_socket_t fd, short what, void *arg);

#endif
