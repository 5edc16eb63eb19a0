/* One connection to PostgreSQL as a state machine on the event loop: it connects, then takes one unit of work after the
 * other, each one round trip in libpq's pipeline mode. Nothing blocks.
 *
 * The owner is told by `changed` when the connection became idle (it is open, or its work has been answered) or broken
 * (it could not be opened, or was lost). `changed` comes from the event loop only, never inside a conn_*() call, and
 * may destroy the connection. A broken connection is of no more use; it is never given back out of step with the
 * server. */
#ifndef SQL_CONN_H
#define SQL_CONN_H

#include "sql/pool.h"

#define CONN_STATES(STATE)                                                                                             \
    STATE(CLOSED, "closed")                                                                                            \
    STATE(RESOLVING, "resolving")                                                                                      \
    STATE(CONNECTING, "connecting")                                                                                    \
    STATE(SETTING_UP, "setting up")                                                                                    \
    STATE(IDLE, "idle")                                                                                                \
    STATE(BUSY, "busy")                                                                                                \
    STATE(BROKEN, "broken")

#define CONN_STATE_ENUM(name, text) CONN_##name,
enum conn_state { CONN_STATES(CONN_STATE_ENUM) CONN_STATE_COUNT };
#undef CONN_STATE_ENUM

enum conn_verdict {
    CONN_OK,         /* results has one a statement */
    CONN_REFUSED,    /* error is PostgreSQL's; the connection is fit for more work */
    CONN_UNSUITABLE, /* the statements do what a shared connection cannot bear (COPY, BEGIN); it is broken */
    CONN_LOST,       /* the server or the socket is gone; broken */
    CONN_NO_ANSWER,  /* the deadline passed; broken */
};

/* What became of one conn_run(). */
struct conn_reply {
    enum conn_verdict verdict;
    PGresult **results;
    int result_count;     /* that came; can be above 0 whatever the verdict */
    PGresult *error;      /* CONN_REFUSED */
    int failed_statement; /* CONN_REFUSED, CONN_UNSUITABLE */
    bool stale;           /* the prepared statement was lost or its plan changed: the next conn_run() prepares anew */
    bool dismissed;       /* CONN_LOST: the server ended the session on purpose, whatever the statements were */
    char *message;        /* of the verdicts that break the connection */
};

void conn_reply_deinit(struct conn_reply *reply);

struct conn_settings {
    const char *url; /* or a libpq connection string */
    int64_t connect_timeout_us;
    int64_t statement_timeout_us; /* the session's default; 0 is none */
};

struct conn;
typedef void conn_changed(void *arg);

/* Begins to connect. settings and what it points to must outlive the connection. */
struct conn *conn_create(struct event_base *base, const struct conn_settings *settings, conn_changed *changed,
                         void *arg) MUST_USE;
void conn_destroy(struct conn **c);

enum conn_state conn_state(const struct conn *c);
bool conn_read_only(const struct conn *c);    /* default_transaction_read_only of its session */
const char *conn_error(const struct conn *c); /* one line, why it is broken; "" otherwise */
/* Idle only: looks whether the server hung up unseen. False: it broke, `changed` will come. */
bool conn_check(struct conn *c) MUST_USE;

/* Idle only: sends the work, then `changed` comes. *work must live until then, its values only during this call. The
 * answer must be there by deadline_us (CLOCK_MONOTONIC; 0: whenever). */
void conn_run(struct conn *c, const struct pool_work *work, int64_t deadline_us, int64_t now_us);
/* Asks the server to end what is running; the connection must be destroyed then. */
void conn_cancel(const struct conn *c);
/* Hands over what conn_run() brought; the caller deinits it. */
struct conn_reply conn_take_reply(struct conn *c);

#endif
