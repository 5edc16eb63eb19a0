#include "master/succession.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/lock.h"
#include "master/note.h"
#include "master/notify.h"
#include "master/program.h"
#include "master/redis_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define TELL_LIMIT_US (5 * US_PER_S)

/* ---- what is taken over at the start ---- */

bool succession_read(struct master *m, struct err *err)
{
    const char *text = getenv(HANDED_VARIABLE);
    m->takeover.wire_fd = -1;
    kin_init(&m->kin, &m->shared);
    if (text == NULL)
        return true;
    char *copy = xstrdup(text);
    unsetenv(HANDED_VARIABLE); /* workers, and what they might start, have no use for it */
    m->handed = xcalloc(1, sizeof *m->handed);
    bool ok = handed_parse(copy, m->handed, err);
    m->takeover.wire_fd = m->handed->wire_fd;
    m->takeover.state = TAKEOVER_HELD; /* nothing in run_dir is this one's until it has taken over */
    free(copy);
    return ok;
}

bool succession_lock(struct master *m, const struct conf *conf, struct err *err)
{
    if (m->handed == NULL) {
        m->lock_fd = lock_acquire(conf->run_dir, err);
        return m->lock_fd >= 0;
    }
    m->lock_fd = m->handed->lock_fd;
    return lock_is_of(m->lock_fd, conf->run_dir) ||
           err_set(err, "run_dir is %s, and the old perfd's is another: that needs a restart", conf->run_dir);
}

static bool make_tickets(struct tls_tickets *tickets, struct err *err)
{
    return getrandom(tickets, sizeof *tickets, 0) == sizeof *tickets || err_set(err, "getrandom: %s", strerror(errno));
}

/* An older perfd may have had keys of another size: consumers then begin anew, which is all. */
static bool take_tickets(struct master *m, struct err *err)
{
    int fd = m->handed->tickets_fd;
    bool ok = fd >= 0 && pread(fd, &m->tickets, sizeof m->tickets, 0) == sizeof m->tickets;
    if (fd >= 0)
        close(fd);
    return ok || make_tickets(&m->tickets, err);
}

static bool create_share(struct master *m, const struct conf *conf, struct err *err)
{
    if (!shared_create(&m->shared, conf, err) || !make_tickets(&m->tickets, err))
        return false;
    if (pipe2(m->presence, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_set(err, "pipe: %s", strerror(errno));
    redis_mark_take(conf, m->shared.tags);
    return true;
}

bool succession_share(struct master *m, const struct conf *conf, struct err *err)
{
    char why[SHARED_WHY_BYTES];
    if (m->handed == NULL)
        return create_share(m, conf, err);
    memcpy(m->presence, m->handed->presence, sizeof m->presence);
    if (!shared_attach(&m->shared, conf, &m->handed->shared, redis_mark_name(conf), why, err) || !take_tickets(m, err))
        return false;
    if (m->shared.cold)
        redis_mark_take(conf, m->shared.tags);
    snprintf(m->found, sizeof m->found, "%s%s%s",
             m->shared.cold ? "it starts cold" : "it goes on with the shared memory", *why ? ", " : "", why);
    return true;
}

bool succession_owns(const struct master *m)
{
    return takeover_owns(&m->takeover) && !m->retired;
}

void succession_failed(struct master *m, const char *why)
{
    takeover_failed(&m->takeover, why);
}

/* ---- as the old master ---- */

/* Not in the environment: they are secret. */
static int tickets_fd(const struct master *m)
{
    int fd = memfd_create("perfd-tickets", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, &m->tickets, sizeof m->tickets) == sizeof m->tickets)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void hand(void *arg, struct handed *handed)
{
    const struct master *m = arg;
    *handed = (struct handed){.wire_fd = -1,
                              .lock_fd = m->lock_fd,
                              .socket_fd = control_socket_fd(m->control),
                              .presence = {-1, -1},
                              .kin_fd = m->presence[0],
                              .tickets_fd = tickets_fd(m),
                              .generation = m->generation->number};
    shared_hand(&m->shared, &handed->shared);
    listeners_hand(&m->listeners, &handed->listen);
}

static void cool(void *arg)
{
    struct master *m = arg;
    m->cooled = true;
    shared_cool(&m->shared);
}

/* What stands in run_dir, and the sockets' names, are the new one's. So is the lock: should it be killed, the next
 * perfd need not wait until the last worker of this one has drained. */
static void retire(void *arg, pid_t heir, const char *found)
{
    struct master *m = arg;
    int64_t now_us = clock_mono_us(), limit_us = m->generation->conf->shutdown_timeout_us;
    snprintf(m->outcome, sizeof m->outcome, "perfd (pid %d) has taken over; %s", (int)heir, found);
    note(&m->shared, upgraded, EVENT_NO_SLOT, (int)heir, "%s", m->outcome);
    notify_main_pid(heir);
    m->told_at_us = now_us + TELL_LIMIT_US;
    m->retired = m->ending = true;
    m->kill_at_us = now_us + limit_us + US_PER_S;
    control_socket_retire(m->control);
    listeners_leave(&m->listeners);
    close(m->lock_fd);
    m->lock_fd = -1;
    workers_retire(m->workers, limit_us, now_us);
}

/* Who is told that the new one has taken over must not meet an old worker with its next connection. */
static int64_t tell_outcome(struct master *m, int64_t now_us)
{
    if (!m->retired || m->told_at_us == 0)
        return INT64_MAX;
    if (now_us < m->told_at_us && workers_old_listen(m->workers))
        return now_us + OTHERS_LOOK_US;
    control_socket_done(m->control, CONTROL_UPGRADE, 0, NULL, m->outcome);
    m->told_at_us = 0;
    return INT64_MAX;
}

static int64_t doubt_us(const struct master *m, int64_t now_us)
{
    return now_us + master_longest_statement_us(m->generation->conf) + US_PER_S;
}

/* The new one may have begun to make what is here its own. */
static void left(void *arg, int presence_fd, pid_t heir)
{
    struct master *m = arg;
    struct err err;
    int64_t now_us = clock_mono_us();
    if (!lock_sign(m->lock_fd, &err))
        log_error("%s", err.text);
    stats_own(m->shared.stats);
    generation_limit(m->generation, &m->shared);
    kin_begin(&m->kin, presence_fd);
    m->heir = heir;
    if (heir == 0)
        kin_orphaned(&m->kin, now_us, doubt_us(m, now_us));
}

static void ended(void *arg, const char *err)
{
    struct master *m = arg;
    if (err == NULL)
        return; /* retire() has told it */
    note(&m->shared, upgrade_refused, EVENT_NO_SLOT, 0, "upgrade refused: %s", err);
    control_socket_done(m->control, CONTROL_UPGRADE, 0, err, NULL);
}

void succession_upgrade(struct master *m)
{
    const char *why = m->ending             ? "perfd is stopping"
                      : !succession_owns(m) ? "this perfd has not taken over yet"
                                            : NULL;
    if (why != NULL) {
        ended(m, why);
        return;
    }
    if (!upgrade_busy(m->upgrade))
        note(&m->shared, upgrade_begun, EVENT_NO_SLOT, 0, "upgrade: %s is checked and started", program_path());
    upgrade_request(m->upgrade, m->generation->conf->upgrade_timeout_us);
}

const char *succession_forbids(const struct master *m)
{
    if (m->ending)
        return "perfd is stopping";
    if (!succession_owns(m))
        return "this perfd has not taken over yet";
    return upgrade_busy(m->upgrade) ? "an upgrade is under way" : NULL;
}

void succession_abort(struct master *m, int sig)
{
    upgrade_abort(m->upgrade, sig);
}

void succession_child_ended(struct master *m, pid_t pid, int status)
{
    int64_t now_us = clock_mono_us();
    upgrade_child_ended(m->upgrade, pid, status);
    if (pid != m->heir)
        return;
    m->heir = 0;
    kin_orphaned(&m->kin, now_us, doubt_us(m, now_us));
}

/* ---- as the new master ---- */

void succession_begin(struct master *m, const char *conf_path, void (*forget)(void *arg))
{
    const struct upgrade_owner owner = {forget, hand, cool, retire, left, ended, m};
    m->upgrade = upgrade_create(conf_path, &owner);
    if (m->handed == NULL)
        return;
    kin_begin(&m->kin, m->handed->kin_fd);
    takeover_begin(&m->takeover, m->handed->wire_fd, m->shared.cold ? m->found : NULL, m->found);
    free(m->handed);
    m->handed = NULL;
}

static void take(struct master *m)
{
    struct err err;
    if (!lock_sign(m->lock_fd, &err) || !stats_show(m->shared.stats, &err))
        log_error("%s", err.text);
    stats_own(m->shared.stats);
    stats_set_conf(m->shared.stats, m->generation->conf->file);
    takeover_done(&m->takeover);
    note(&m->shared, upgraded, EVENT_NO_SLOT, (int)getpid(), "perfd %s (pid %d) is the master now; %s", PERFD_VERSION,
         (int)getpid(), m->found);
}

static void step_takeover(struct master *m, int64_t now_us)
{
    for (;;)
        switch (takeover_step(&m->takeover, workers_all_ready(m->workers, m->generation->conf->workers))) {
        case TAKEOVER_SAME:
            return;
        case TAKEOVER_NOW:
            take(m);
            break;
        case TAKEOVER_ALONE:
            kin_orphaned(&m->kin, now_us, doubt_us(m, now_us));
            break;
        }
}

/* ---- both ---- */

int succession_poll(const struct master *m, struct pollfd fds[static SUCCESSION_FDS])
{
    const int all[SUCCESSION_FDS] = {upgrade_fd(m->upgrade), takeover_fd(&m->takeover), kin_fd(&m->kin)};
    for (int i = 0; i < SUCCESSION_FDS; i++)
        fds[i] = (struct pollfd){all[i], POLLIN, 0};
    return SUCCESSION_FDS;
}

static void others_ended(struct master *m, int64_t now_us)
{
    log_info("the processes of the other perfd have ended");
    takeover_release(&m->takeover);
    if (!m->cooled && !m->shared.cold)
        return;
    shared_warm(&m->shared, doubt_us(m, now_us));
    m->cooled = m->shared.cold = false;
}

int64_t succession_step(struct master *m, int64_t now_us)
{
    bool held = !takeover_may_start(&m->takeover);
    if (kin_step(&m->kin, now_us, doubt_us(m, now_us)) == KIN_ENDED)
        others_ended(m, now_us);
    if (!m->ending)
        step_takeover(m, now_us);
    /* An address that ends would end for the new one, too. */
    bool may_begin =
        succession_owns(m) && !roll_is_busy(m->roll) && !kin_lives(&m->kin) && !listeners_end_some(&m->listeners);
    int64_t next_us = upgrade_step(m->upgrade, may_begin, now_us), tell_us = tell_outcome(m, now_us);
    next_us = MIN(next_us, tell_us);
    return held && takeover_may_start(&m->takeover) ? now_us : next_us; /* workers can be started now */
}

void succession_forget(const struct master *m)
{
    close(m->presence[0]);
    if (m->takeover.wire_fd >= 0)
        close(m->takeover.wire_fd);
    kin_forget(&m->kin);
    upgrade_forget(m->upgrade);
}

void succession_end(struct master *m)
{
    (void)tell_outcome(m, INT64_MAX);
    kin_forget(&m->kin);
    if (m->upgrade != NULL)
        upgrade_destroy(&m->upgrade);
    if (m->takeover.wire_fd >= 0)
        close(m->takeover.wire_fd);
    free(m->handed);
}
