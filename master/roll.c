#include "master/roll.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/patience.h"
#include "master/adoption.h"
#include "master/log_files.h"
#include "master/note.h"
#include "master/privileges.h"
#include "master/replace.h"
#include "sql/check.h"
#include "worker/changes.h"
#include "worker/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_LIMIT_US (5 * US_PER_S)
#define QUERIES_LIMIT_US (3 * US_PER_S)
#define READY_LIMIT_US (10 * US_PER_S)

enum roll_state { ROLL_IDLE, ROLL_CHECKING, ROLL_FORWARD, ROLL_BACK };

struct roll {
    const char *conf_path;
    struct workers *workers;
    struct shared *shared;
    struct stage stage;
    struct roll_owner owner;
    enum roll_state state;
    bool requested;
    int64_t deadline_us;
    /* ROLL_CHECKING: the child writes its verdict, a letter and a text, then ends. */
    pid_t checker;
    int fd;
    char verdict[1200];
    size_t verdict_len;
    /* ROLL_FORWARD, ROLL_BACK */
    struct generation *next;
    int last_number; /* a failed generation's is not used again */
    int slot, end;   /* this one is under way, this one no more */
    bool started;    /* the slot's next worker */
    char why[160];   /* it goes back */
};

static void stop_check(struct roll *roll)
{
    if (roll->checker > 0)
        kill(roll->checker, SIGKILL);
    if (roll->fd >= 0)
        close(roll->fd);
    roll->fd = -1;
}

struct roll *roll_create(const char *conf_path, struct workers *workers, struct shared *shared,
                         const struct stage *stage, const struct roll_owner *owner)
{
    struct roll *roll = xcalloc(1, sizeof *roll);
    *roll = (struct roll){
        .conf_path = conf_path, .workers = workers, .shared = shared, .stage = *stage, .owner = *owner, .fd = -1};
    return roll;
}

void roll_destroy(struct roll **roll)
{
    stop_check(*roll);
    generation_destroy(&(*roll)->next);
    free(*roll);
    *roll = NULL;
}

void roll_request(struct roll *roll)
{
    roll->requested = true;
}

bool roll_is_busy(const struct roll *roll)
{
    return roll->state != ROLL_IDLE || roll->requested;
}

int roll_fd(const struct roll *roll)
{
    return roll->fd;
}

static void end(struct roll *roll, const char *err)
{
    roll->state = ROLL_IDLE;
    if (err != NULL)
        note(roll->shared, reload_refused, EVENT_NO_SLOT, 0, "reload refused: %s", err);
    if (!roll->requested)
        roll->owner.ended(roll->owner.arg, err);
}

void roll_abort(struct roll *roll)
{
    bool busy = roll_is_busy(roll);
    stop_check(roll);
    roll->requested = false;
    if (busy)
        end(roll, "perfd is stopping");
}

/* ---- checking ---- */

NORETURN static void be_checker(const struct roll *roll, int fd, pid_t master)
{
    struct err err = {0};
    enum check_result result = CHECK_BAD;
    sigset_t none;
    roll->owner.forget(roll->owner.arg);
    patience_set(&(struct patience){CHECK_LIMIT_US, NULL, NULL});
    privileges_end_with(master, SIGKILL);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    struct conf *conf = conf_load(roll->conf_path, &err);
    /* Files are read as the master reads them, the database is asked as workers ask it. */
    if (conf != NULL && tls_check(conf, &err) && privileges_drop(conf, &err)) {
        privileges_end_with(master, SIGKILL);
        result = check_routes(conf, QUERIES_LIMIT_US, &err);
    }
    char text[1200];
    static const char letters[] = {
        [CHECK_OK] = 'O', [CHECK_TIGHT] = 'O', [CHECK_NO_DATABASE] = 'N', [CHECK_BAD] = 'B'}; /* workers will tell */
    int len = snprintf(text, sizeof text, "%c%s", letters[result], err.text);
    _exit(write(fd, text, (size_t)len) == len ? 0 : 1);
}

static void start_check(struct roll *roll, int64_t now_us)
{
    int ends[2];
    roll->requested = false;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        end(roll, "the check cannot start: no descriptor is free");
        return;
    }
    pid_t master = getpid();
    roll->checker = fork();
    if (roll->checker == 0)
        be_checker(roll, ends[1], master);
    close(ends[1]);
    if (roll->checker < 0) {
        close(ends[0]);
        end(roll, "the check cannot start: fork failed");
        return;
    }
    note(roll->shared, reload_begun, EVENT_NO_SLOT, 0, "reload: checking %s", roll->conf_path);
    roll->fd = ends[0];
    roll->verdict_len = 0;
    roll->deadline_us = now_us + CHECK_LIMIT_US;
    roll->state = ROLL_CHECKING;
}

static void start_rolling(struct roll *roll, const struct generation *current)
{
    struct err err;
    struct conf *conf = conf_load(roll->conf_path, &err);
    roll->last_number = MAX(roll->last_number, current->number) + 1;
    if (conf != NULL && generation_can_follow(current->conf, conf, &err))
        roll->next = generation_create(roll->last_number, conf, roll->shared, &err);
    if (roll->next == NULL) {
        conf_destroy(&conf);
        end(roll, err.text);
        return;
    }
    if (!stage_begin(&roll->stage, current->conf, roll->next, &err)) {
        generation_destroy(&roll->next);
        end(roll, err.text);
        return;
    }
    log_files_give(conf);
    generation_limit(roll->next, roll->shared);
    roll->slot = 0;
    roll->end = conf->workers;
    roll->started = false;
    roll->state = ROLL_FORWARD;
    workers_roll_begins(roll->workers);
}

static void take_verdict(struct roll *roll, const struct generation *current)
{
    char *text = roll->verdict;
    text[roll->verdict_len] = '\0';
    if (roll->verdict_len == 0) {
        end(roll, "the check crashed");
    } else if (text[0] == 'B') {
        end(roll, text + 1);
    } else {
        if (text[0] == 'N')
            log_warn("reload: the queries were not checked: %s", text + 1);
        start_rolling(roll, current);
    }
}

static void step_check(struct roll *roll, const struct generation *current, int64_t now_us)
{
    ssize_t n;
    while ((n = read(roll->fd, roll->verdict + roll->verdict_len, sizeof roll->verdict - 1 - roll->verdict_len)) > 0)
        roll->verdict_len += (size_t)n;
    if (n < 0 && errno == EAGAIN && now_us < roll->deadline_us)
        return;
    if (n == 0) {
        close(roll->fd);
        roll->fd = -1;
        take_verdict(roll, current);
        return;
    }
    stop_check(roll);
    end(roll, "the check took longer than 5 s");
}

void roll_child_ended(struct roll *roll, pid_t pid)
{
    if (roll->checker == pid)
        roll->checker = 0;
}

/* ---- rolling ---- */

/* Whose worker the slot has, if that has so many. */
static const struct generation *generation_of(const struct roll *roll, int slot, const struct generation *current)
{
    switch (roll->state) {
    case ROLL_IDLE:
    case ROLL_CHECKING:
        break;
    case ROLL_FORWARD:
        return slot < roll->slot || roll->slot == roll->end ? roll->next : current;
    case ROLL_BACK:
        return slot >= roll->slot && slot < roll->end ? roll->next : current;
    }
    return current;
}

const struct generation *roll_generation(const struct roll *roll, int slot, const struct generation *current)
{
    const struct generation *generation = generation_of(roll, slot, current);
    return slot < generation->conf->workers ? generation : NULL;
}

/* The slot's new worker is not to be had. What has changed is changed back; on the way back the slot is left as it is.
 */
static void slot_failed(struct roll *roll, const char *what)
{
    workers_kill_next(roll->workers, roll->slot);
    roll->started = false;
    if (roll->state == ROLL_BACK) {
        log_error("worker %d %s on the way back and keeps the refused configuration", roll->slot++, what);
        return;
    }
    snprintf(roll->why, sizeof roll->why, "worker %d of the new configuration %s; the old one stays", roll->slot, what);
    roll->end = roll->slot;
    roll->slot = 0;
    roll->state = ROLL_BACK;
}

static void finish(struct roll *roll, struct generation **current, int64_t now_us)
{
    struct generation *gone = roll->state == ROLL_BACK ? roll->next : *current;
    bool back = roll->state == ROLL_BACK;
    if (back) {
        stage_undo(&roll->stage, roll->next);
        generation_limit(*current, roll->shared);
    } else {
        if (!changes_alike((*current)->conf, roll->next->conf) || (*current)->cache != roll->next->cache)
            workers_end_keeper(roll->workers, now_us);
        *current = roll->next;
        stage_force(&roll->stage, roll->next, now_us);
        adoption_wake_all(roll->workers);
        log_set_level((enum log_level)(*current)->conf->log_level);
        note(roll->shared, reload_done, EVENT_NO_SLOT, 0, "configuration %d is in force", (*current)->number);
    }
    roll->next = NULL;
    generation_destroy(&gone);
    workers_roll_ends(roll->workers);
    end(roll, back ? roll->why : NULL);
}

/* False: no process row is free before one of those that drain has ended, or the slot failed. */
static bool start_slot(struct roll *roll, const struct generation *generation, int64_t now_us)
{
    roll->started = workers_start_next(roll->workers, roll->slot, generation, now_us);
    roll->deadline_us = now_us + (roll->started ? READY_LIMIT_US : US_PER_S);
    if (!roll->started && !workers_any_drains(roll->workers))
        slot_failed(roll, "cannot start");
    return roll->started;
}

/* True: the slot is done with; go on. */
static bool step_slot(struct roll *roll, const struct generation *current, int64_t now_us)
{
    enum roll_state before = roll->state;
    const struct generation *old = generation_of(roll, roll->slot, current);
    const struct generation *wanted = old == current ? roll->next : current;
    if (roll->slot >= wanted->conf->workers) { /* on the way back: it was added */
        workers_drain_slot(roll->workers, roll->slot++, old->conf->shutdown_timeout_us, now_us);
        return true;
    }
    if (!roll->started && !start_slot(roll, wanted, now_us))
        return roll->state != before;
    enum proc_state state = workers_next_state(roll->workers, roll->slot);
    if (state == PROC_READY) {
        workers_promote_next(roll->workers, roll->slot++, old->conf->shutdown_timeout_us, now_us);
        roll->started = false;
        roll->deadline_us = now_us + READY_LIMIT_US;
        return true;
    }
    if (state != PROC_FREE && now_us < roll->deadline_us)
        return false;
    slot_failed(roll, state == PROC_FREE ? "died" : "was not ready within 10 s");
    return true;
}

static void step_roll(struct roll *roll, struct generation **current, int64_t now_us)
{
    while (roll->slot < roll->end)
        if (!step_slot(roll, *current, now_us))
            return;
    for (int slot = roll->next->conf->workers; slot < (*current)->conf->workers && roll->state == ROLL_FORWARD; slot++)
        workers_drain_slot(roll->workers, slot, (*current)->conf->shutdown_timeout_us, now_us);
    /* Who is told that it is in force must not meet an old worker with its next connection. */
    if (!workers_old_listen(roll->workers) || now_us >= roll->deadline_us)
        finish(roll, current, now_us);
}

int64_t roll_step(struct roll *roll, struct generation **current, int64_t now_us)
{
    if (roll->state == ROLL_IDLE && roll->requested)
        start_check(roll, now_us);
    if (roll->state == ROLL_CHECKING)
        step_check(roll, *current, now_us);
    if (roll->state == ROLL_FORWARD || roll->state == ROLL_BACK)
        step_roll(roll, current, now_us);
    if (roll->state == ROLL_IDLE)
        return roll->requested ? now_us : INT64_MAX;
    return roll->deadline_us;
}
