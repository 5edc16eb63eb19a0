/* One connection to PostgreSQL as a state machine on the event loop: it connects, then takes units of work in libpq's
 * pipeline mode, several at a time if its owner likes. Nothing blocks.
 *
 * A unit is a trip. Trips that may share a transaction (`joins`) and leave in one conn_send() get one Sync: an error in
 * one of them leaves those behind it undone, CONN_SPOILT. Every other trip is a transaction of its own.
 *
 * The owner is told by `changed` when the connection became idle (it is open), trips came back, or it broke (it could
 * not be opened, or was lost). `changed` comes from the event loop only, never inside a conn_*() call, and may destroy
 * the connection. A broken connection is of no more use; it is never given back out of step with the server. */
#ifndef SQL_CONN_H
#define SQL_CONN_H

#include "sql/hosts.h"
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
    CONN_SPOILT,     /* not run: another trip of its transaction failed */
    CONN_TAKEN_BACK, /* by conn_take_back(); it may have run or yet run, unseen */
    CONN_UNSUITABLE, /* the statements do what a shared connection cannot bear (COPY, BEGIN); it is broken */
    CONN_STOPPED,    /* its taker wanted no more; broken */
    CONN_LOST,       /* the server or the socket is gone; broken */
    CONN_NO_ANSWER,  /* the deadline passed; broken */
};

/* What became of a trip. */
struct conn_reply {
    enum conn_verdict verdict;
    PGresult **results;
    int result_count;     /* that came; can be above 0 whatever the verdict */
    int64_t taken_rows;   /* by the taker */
    PGresult *error;      /* CONN_REFUSED */
    int failed_statement; /* CONN_REFUSED, CONN_UNSUITABLE */
    bool stale;           /* the prepared statement was lost or its plan changed: sent again it is prepared anew */
    bool dismissed;       /* CONN_LOST: the server ended the session on purpose, whatever the statements were */
    char *message;        /* of the verdicts that break the connection */
    int64_t run_us;       /* from the end of what ran before it, or its sending, to its end; divided among those that
                             shared a transaction */
    bool shared;          /* the transaction, with others */
    bool behind_others;   /* it was sent while others were under way: run_us is without the way there and back */
    bool prepared;        /* a statement was prepared for it first */
};

/* Embedded by the owner, who leaves it alone until it comes back. */
struct conn_trip {
    const struct pool_work *work; /* must live until the trip comes back; its values until conn_send() */
    bool joins;                   /* one read: may share a transaction, if it is prepared and needs no time-out */
    int64_t deadline_us;          /* CLOCK_MONOTONIC, by which the answer must be there; 0: whenever */
    int64_t patience_us;          /* for which its taker may have the server wait, in all */
    struct conn_reply reply;      /* zeroed; the owner's to deinit once it is back */
    PGresult *one_result[1];      /* the connection's own, from here on */
    uint32_t generation;
    struct conn_trip *next;
};

void conn_trip_deinit(struct conn_trip *trip);

struct conn_settings {
    const char *url;  /* or a libpq connection string */
    const char *name; /* application_name, where the url has none; NULL: perfd */
    int host;         /* which of its hosts; -1: all */
    enum hosts_role role;
    int64_t connect_timeout_us;
    int64_t statement_timeout_us; /* the session's default; 0 is none */
    /* Of a channel that the session listens on; from the loop, before `changed` tells of what came behind it. NULL: not
     * told. It leaves the connection alone. */
    void (*notified)(void *arg, const char *channel, const char *payload);
    bool prepare; /* false: nothing outlives a transaction, as the server's session may be another one */
};

struct conn;
typedef void conn_changed(void *arg);

/* Begins to connect to one of the hosts: which one the attempt tells, modulo their number. settings and what it points
 * to must outlive the connection. */
struct conn *conn_create(struct event_base *base, const struct conn_settings *settings, unsigned attempt,
                         conn_changed *changed, void *arg) MUST_USE;
/* Trips that are not back yet are forgotten. */
void conn_destroy(struct conn **c);

enum conn_state conn_state(const struct conn *c);
bool conn_read_only(const struct conn *c);                  /* default_transaction_read_only of its session */
bool conn_plans(const struct conn *c, enum plan_mode plan); /* without being told first */
int conn_backend_pid(const struct conn *c);                 /* as it was told when the session began */
int64_t conn_way_us(const struct conn *c);                  /* to the server and back, measured when it was set up */
int conn_host_count(const struct conn *c); /* the hosts that it chose from; 1 before their names are resolved */
/* A server of PostgreSQL 14 tells without being asked whether it is a standby; what stands between may keep it. */
enum conn_standby { CONN_STANDBY_UNTOLD, CONN_STANDBY_NO, CONN_STANDBY_YES };
enum conn_standby conn_standby(const struct conn *c);
bool conn_was_abandoned(const struct conn *c); /* broken by ourselves, not by the server or on the way */
const char *conn_error(const struct conn *c);  /* one line, why it is broken; "" otherwise */
/* Idle only: looks whether the server hung up unseen. False: it broke, `changed` will come. */
bool conn_check(struct conn *c) MUST_USE;
/* work's statements are prepared. */
bool conn_knows(const struct conn *c, const struct pool_work *work);

/* Idle or busy: takes the trip behind those that it has; conn_send() sends it. */
void conn_run(struct conn *c, struct conn_trip *trip);
/* What conn_run() took since the last time. */
void conn_send(struct conn *c, int64_t now_us);
/* The next trip that is back, in the order in which they left. NULL: none. */
struct conn_trip *conn_next_back(struct conn *c);
/* No answer has come since, though one is awaited; 0: none is. */
int64_t conn_silent_since_us(const struct conn *c);
/* What is still out comes back as CONN_TAKEN_BACK, but for the first trip if it alone is what the server runs. Whatever
 * the server answers to the others is dropped. */
void conn_take_back(struct conn *c);
/* It is the first of those that are out, in a transaction of its own. */
bool conn_runs_alone(const struct conn *c, const struct conn_trip *trip);
/* A taker had the server wait, and takes more. */
void conn_resume(struct conn *c);
/* The next trip of all that it has, back or not, before conn_destroy(). NULL: none. */
struct conn_trip *conn_give_up(struct conn *c);
/* Asks the server to end what is running. It may hear of that late, so the connection must take nothing new then. */
void conn_cancel(const struct conn *c);
/* One of those that are out has a lease. */
bool conn_has_leased(const struct conn *c);

#endif
