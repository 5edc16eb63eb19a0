/* What the master of an upgrade inherits from the one before it: descriptors, by number in the environment variable
 * PERFD_UPGRADE. Its form is words NAME=NUMBER[,NUMBER...] behind a first one that is the form's own number:
 *
 *   1 wire=9 lock=4 socket=5 presence=10,11 kin=12 control=6 cache=7 stats=8 tickets=13 generation=3
 *     wake=20,21,22 listen=30,31
 *
 *   wire        a socket of SOCK_SEQPACKET to the old master (takeover.h)
 *   lock        perfd.pid, locked
 *   socket      control.sock, listening
 *   presence    both ends of the new generation's own pipe: the old master reads end of file when all of it are dead
 *   kin         the old generation's, its first end alone
 *   control, cache, stats   the shared memory, and wake an eventfd for each row of the board (shared_attach())
 *   tickets     a memfd with the keys of TLS session tickets
 *   generation  no descriptor: the number of the configuration in force
 *   listen      every listening socket, of consumers and admins, in any order: each knows its address
 *   passed      the same, of those that are the service manager's
 *
 * Of a form that it does not know, and without one of these, a perfd does not start: the old one goes on. Names that it
 * does not know it ignores. No secret is told. */
#ifndef MASTER_HANDED_H
#define MASTER_HANDED_H

#include "master/inherited.h"
#include "shm/shared.h"

#define HANDED_VARIABLE "PERFD_UPGRADE"

struct handed {
    int wire_fd, lock_fd, socket_fd, presence[2], kin_fd, tickets_fd;
    struct shared_handed shared;
    int generation;
    struct inherited listen;
};

/* The text of the variable; the caller frees it. */
char *handed_print(const struct handed *handed) MUST_USE;
/* Every descriptor is open, and close-on-exec from now on. Only by the process that was started with it. */
bool handed_parse(const char *text, struct handed *handed_out, struct err *err) MUST_USE;
/* In the child before execve(): they stay open there. */
void handed_keep(const struct handed *handed);

#endif
