/* A worker process: one event loop that serves HTTP on inherited sockets. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/conf.h"
#include "shm/shared.h"

#include <signal.h>

/* A socket of all slots: every worker that serves accepts on it. */
enum { SLOT_ANY = -2 };

enum door { DOOR_PLAIN, DOOR_TLS, DOOR_ADMIN, DOORS };

struct worker_socket {
    int fd; /* bound and listening, non-blocking */
    int slot;
    enum door door;
};

/* The kernel's, when the master dies (PR_SET_PDEATHSIG). The pipe tells the loop; this one sees to it that a process
 * whose loop does not turn is gone soon, too, and its sockets with it. */
enum { WORKER_DEATH_SIGNAL = SIGUSR2 };

struct worker_start {
    const struct conf *conf;
    struct shared *shared;
    int slot;                            /* 0..workers-1; -1: the keeper */
    int proc;                            /* board row */
    int generation;                      /* of the configuration, from 1 */
    const struct worker_socket *sockets; /* of all slots: doors.h tells on which it accepts */
    int socket_count;
    const struct tls_tickets *tickets;
    const struct tls_files *tls_files;
    int life_fd;            /* pipe from the master: end of file means that it died */
    const int *route_rows;  /* conf->routes[i]'s row in the statistics */
    const int *permit_rows; /* and of the permits, or PERMIT_NO_ROW */
};

/* Runs until told to stop; the process's exit status. SIGTERM and SIGINT: at once; SIGQUIT, and the master's death:
 * gracefully (stop accepting, finish what is under way, close connections idle for keepalive_min, exit when no
 * consumer is left or after shutdown_timeout). SIGUSR1 reopens logs. Signals arrive blocked, with default actions. */
int worker_run(const struct worker_start *start);

#endif
