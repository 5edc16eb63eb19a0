/* A request for a connection, on its way through the pool: in a line, then on a connection. The pool's own. */
#ifndef SQL_POOL_JOB_H
#define SQL_POOL_JOB_H

#include "sql/conn.h"
#include "sql/crowd.h"

enum job_kind {
    JOB_SHORT, /* a read that may run beside others */
    JOB_OWN,   /* has a connection to itself */
    JOB_BULK,  /* a read whose results were large of late: all of these have a share of the connections only */
    JOB_KINDS
};

struct job {
    struct pool_work work;
    struct conn_trip trip;
    struct member *member; /* that it runs on, or NULL */
    pool_done *done;       /* NULL: forgotten */
    void *arg;
    int64_t queued_us, sent_us, wait_us;
    enum job_kind kind;  /* as far as was known when it came */
    bool begun;          /* its consumer has some of its rows: it cannot run again */
    int64_t expected_us; /* of its member's time */
    bool retried, prepared_again;
    bool moved;            /* it met a session that it cannot write in */
    bool alone;            /* in a transaction of its own: another one's error stood in its way */
    int dismissed;         /* how often its connection was ended by the server on purpose */
    enum pool_fail fail;   /* of one that ended before it was sent */
    struct job_line *line; /* in which it stands, or NULL */
    struct job *next, *prev;
    struct job *older, *newer; /* of its crowd */
    uint32_t crowd;            /* by its number: pool_amend() may give it another statement while it waits */
};

/* Whose trip it is. */
static inline struct job *job_of(struct conn_trip *trip)
{
    return (struct job *)(void *)((char *)trip - offsetof(struct job, trip));
}

struct job_line {
    struct job *first, *last;
    int count;
    struct crowds *crowds; /* that those in it belong to, or NULL */
};

void job_free(struct job *job); /* with its trip, and its hold of the work's lease */

void job_line_push(struct job_line *line, struct job *job);
void job_line_push_front(struct job_line *line, struct job *job);
struct job *job_line_pop(struct job_line *line); /* NULL: empty */
void job_line_remove(struct job_line *line, struct job *job);

/* Fills sqlstate, texts, position and bind_param from PostgreSQL's error; the texts live as long as the result. */
void job_read_error(const PGresult *error, struct pool_outcome *out);

#endif
