/* All addresses that workers accept on. A configuration is staged first: what it adds is bound, and nothing else has
 * changed until it is in force. An address that it lacks is accepted on for a second more; then no connection can begin
 * there, and when nobody waits in its queue it is closed, so that none is reset. */
#ifndef MASTER_LISTENERS_H
#define MASTER_LISTENERS_H

#include "master/endpoint.h"
#include "master/inherited.h"

struct listeners {
    struct endpoint **at;
    int count;
    struct inherited *inherited; /* at the start; NULL: no more */
};

/* At the start: stage and force in one. What was inherited of an address is taken, and what is missing is bound beside
 * it. */
bool listeners_open(struct listeners *listeners, const struct conf *conf, struct inherited *inherited,
                    struct err *err) MUST_USE;
void listeners_close(struct listeners *listeners);
void listeners_leave(struct listeners *listeners); /* to who has copies of all: unix sockets keep their names */
void listeners_hand(const struct listeners *listeners, struct inherited *to);

/* False: nothing has changed, err tells file and line. TLS addresses of old are silent from here on when conf has no
 * tls. A host without IPv6 skips v6 addresses with a warning; that none is left of a directive is an error. */
bool listeners_stage(struct listeners *listeners, const struct conf *conf, struct err *err) MUST_USE;
void listeners_unstage(struct listeners *listeners);
/* What is staged is in force. */
void listeners_force(struct listeners *listeners, int64_t now_us);
bool listeners_end_some(const struct listeners *listeners); /* some address has yet to end */
/* Ends addresses whose time has come, unless they are staged again; the next time that it wants to be called, or
 * INT64_MAX. */
int64_t listeners_step(struct listeners *listeners, int64_t now_us);

int listeners_slots(const struct listeners *listeners); /* that have sockets */
/* What a worker of conf gets: each socket with the door that conf has it behind, or that it had last. The caller frees
 * them. */
struct worker_socket *listeners_sockets(const struct listeners *listeners, const struct conf *conf,
                                        int *count_out) MUST_USE;

#endif
