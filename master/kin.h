/* The other generation of an upgrade: the processes of another master that work on the same board. While that master
 * lives they are its own to reap, and nothing is done here. When it is gone, they end by themselves (an orphan drains),
 * and the rows that they leave are reaped here. Their master and all of them hold the writing end of one pipe, so that
 * its end of file tells that the last one is dead, whatever their numbers have become.
 *
 * A process is seen to be dead by its pidfd. Should its number be another process's by the time that this is opened, it
 * was dead already, so that its row is never reaped too early, and the pipe sees to that it is not forgotten. */
#ifndef MASTER_KIN_H
#define MASTER_KIN_H

#include "shm/shared.h"

struct kin {
    int presence_fd; /* -1: there is no other generation */
    int epoll_fd;
    struct shared *shared;
    int pid_fds[BOARD_ROWS]; /* -1: nothing is known of the row */
    bool alone;              /* without their master */
};

void kin_init(struct kin *kin, struct shared *shared);
/* There is one from now on; the descriptor is taken over. */
void kin_begin(struct kin *kin, int presence_fd);
/* Its master is dead. */
void kin_orphaned(struct kin *kin, int64_t now_us, int64_t doubt_us);
bool kin_lives(const struct kin *kin);
int kin_fd(const struct kin *kin); /* readable: call kin_step(); -1: none */
enum kin_step { KIN_SAME, KIN_ENDED /* the last of them is dead; told once */ };
/* Reaps the rows of those that died. A write that one died in may commit until doubt_us. */
enum kin_step kin_step(struct kin *kin, int64_t now_us, int64_t doubt_us);
void kin_forget(const struct kin *kin); /* in a child, and at the end: closes its descriptors */

#endif
