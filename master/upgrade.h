/* The old master's side of an upgrade: what the name of its program stands for now checks the configuration (-t), then
 * is started beside it with all that is handed on (handed.h), and serves with workers of its own before the old one
 * retires. Whatever goes wrong before that ends the new one and changes nothing. */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include "master/handed.h"

#include <sys/types.h>

struct upgrade;

/* None of them is called from within upgrade_request() or upgrade_child_ended(). */
struct upgrade_owner {
    void (*forget)(void *arg);                          /* in a child that checks: closes what is the master's own */
    void (*hand)(void *arg, struct handed *handed_out); /* all but wire and presence; borrowed, save for tickets_fd */
    void (*cool)(void *arg);                            /* the new one starts cold */
    void (*retire)(void *arg, pid_t heir, const char *found);
    /* It failed when the new one had been started: of its processes some may live on, as long as the pipe tells. heir:
     * the new master, which was killed and is not reaped yet; 0: it is. */
    void (*left)(void *arg, int presence_fd, pid_t heir);
    void (*ended)(void *arg, const char *err); /* err NULL: retired */
    void *arg;
};

struct upgrade *upgrade_create(const char *conf_path, const struct upgrade_owner *owner) MUST_USE;
void upgrade_destroy(struct upgrade **upgrade);

/* One that is under way takes the request in. limit_us: for the check, and again for the new one to be ready. */
void upgrade_request(struct upgrade *upgrade, int64_t limit_us);
bool upgrade_busy(const struct upgrade *upgrade);
/* perfd ends: so does the new one, by the same signal. */
void upgrade_abort(struct upgrade *upgrade, int sig);
int upgrade_fd(const struct upgrade *upgrade); /* readable: call upgrade_step(); -1: none */
/* Goes on as far as it can now; the next time by which it wants to be called, or INT64_MAX. It begins only when it may:
 * no reload is under way, no address has yet to end, and no process of an upgrade before it is left. */
int64_t upgrade_step(struct upgrade *upgrade, bool may_begin, int64_t now_us);
void upgrade_child_ended(struct upgrade *upgrade, pid_t pid, int status);
void upgrade_forget(const struct upgrade *upgrade); /* in a child: closes its descriptors */

#endif
