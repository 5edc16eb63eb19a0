/* Asks the server to give up what a connection runs. That takes a connection of its own, which libpq makes in the
 * blocking way: a thread does it. */
#ifndef SQL_CANCEL_H
#define SQL_CANCEL_H

#include <libpq-fe.h>

/* Returns at once; pg may be closed then. The query may end otherwise before the server hears of it, so pg must run no
 * other one. Does nothing while many others are under way: the statement's time-out ends it. */
void cancel_send(PGconn *pg);

#endif
