/* What the files that make the master share. */
#ifndef MASTER_MASTER_STATE_H
#define MASTER_MASTER_STATE_H

#include "master/control_socket.h"
#include "master/effective.h"
#include "master/generation.h"
#include "master/handed.h"
#include "master/kin.h"
#include "master/listeners.h"
#include "master/memory_watch.h"
#include "master/purges.h"
#include "master/roll.h"
#include "master/takeover.h"
#include "master/upgrade.h"
#include "master/workers.h"

struct master {
    struct generation *generation;
    struct shared shared;
    struct listeners listeners;
    struct tls_tickets tickets; /* of all workers that there will be */
    struct workers *workers;
    struct roll *roll;
    struct control_socket *control;
    struct effective effective;
    struct purges purges;
    struct memory_watch memory;
    int lock_fd, signal_fd, error_log_fd;
    int life[2]; /* workers read the first end; the second is the master's life */
    bool ending;
    int64_t kill_at_us;

    /* Of upgrades: succession.c. */
    struct handed *handed;    /* by the old master; NULL: there was none */
    int presence[2];          /* the second end is held by this master and all its children */
    struct takeover takeover; /* as the new one */
    struct upgrade *upgrade;  /* as the old one */
    struct kin kin;           /* the other one's processes */
    pid_t heir;               /* the new master of an upgrade that failed, not reaped yet; 0: none */
    bool cooled, retired;     /* for an upgrade; after one */
    int64_t told_at_us;       /* by then whoever asked for the upgrade is told of it; 0: that was done */
    char outcome[SHARED_WHY_BYTES + 128];
    char found[SHARED_WHY_BYTES + 64]; /* of what was handed over, in words */
};

/* The longest that a statement may run that was sent just now. */
int64_t master_longest_statement_us(const struct conf *conf);

#endif
