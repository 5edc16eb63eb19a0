/* A connection that is given up while the server may be at work on it, with leases that end when that is over. */
#ifndef SQL_LINGER_H
#define SQL_LINGER_H

#include "sql/lease.h"

#include <libpq-fe.h>

struct event_base;

/* Takes pg and the leases over. The server is told that nothing more comes; it hangs up when it has ended what it has,
 * which a cancel that was sent before makes soon. When it does not, or the connection is broken already, its
 * statements' own time-outs are waited for. */
void linger_begin(struct event_base *base, PGconn *pg, struct leases *leases);

#endif
