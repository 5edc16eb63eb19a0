#include "master/roll.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/check.h"

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

enum roll_state { ROLL_IDLE, ROLL_CHECKING, ROLL_ROLLING };

struct roll {
    const char *conf_path;
    struct workers *workers;
    struct shared *shared;
    int slots;
    roll_ended *ended;
    void *arg;
    enum roll_state state;
    bool requested;
    int64_t deadline_us;
    /* ROLL_CHECKING: the child writes its verdict, a letter and a text, then ends. */
    pid_t checker;
    int fd;
    char verdict[1200];
    size_t verdict_len;
    /* ROLL_ROLLING */
    struct generation *next;
    int slot;
    bool started; /* the slot's next worker */
};

struct roll *roll_create(const char *conf_path, struct workers *workers, struct shared *shared, int slots,
                         roll_ended *ended, void *arg)
{
    struct roll *roll = xcalloc(1, sizeof *roll);
    *roll = (struct roll){.conf_path = conf_path,
                          .workers = workers,
                          .shared = shared,
                          .slots = slots,
                          .ended = ended,
                          .arg = arg,
                          .fd = -1};
    return roll;
}

void roll_destroy(struct roll **roll)
{
    if ((*roll)->checker > 0)
        kill((*roll)->checker, SIGKILL);
    if ((*roll)->fd >= 0)
        close((*roll)->fd);
    generation_destroy(&(*roll)->next);
    free(*roll);
    *roll = NULL;
}

void roll_request(struct roll *roll)
{
    roll->requested = true;
}

int roll_fd(const struct roll *roll)
{
    return roll->fd;
}

static void end(struct roll *roll, const char *err)
{
    roll->state = ROLL_IDLE;
    if (err != NULL)
        log_error("reload refused: %s", err);
    if (!roll->requested)
        roll->ended(roll->arg, err);
}

/* ---- checking ---- */

NORETURN static void be_checker(const struct roll *roll, int fd)
{
    struct err err = {0};
    enum check_result result = CHECK_BAD;
    struct conf *conf = conf_load(roll->conf_path, &err);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (conf != NULL)
        result = check_routes(conf, QUERIES_LIMIT_US, &err);
    char text[1200];
    int len = snprintf(text, sizeof text, "%c%s", result == CHECK_BAD ? 'B' : result == CHECK_OK ? 'O' : 'N', err.text);
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
    roll->checker = fork();
    if (roll->checker == 0)
        be_checker(roll, ends[1]);
    close(ends[1]);
    if (roll->checker < 0) {
        close(ends[0]);
        end(roll, "the check cannot start: fork failed");
        return;
    }
    log_info("reload: checking %s", roll->conf_path);
    roll->fd = ends[0];
    roll->verdict_len = 0;
    roll->deadline_us = now_us + CHECK_LIMIT_US;
    roll->state = ROLL_CHECKING;
}

static void start_rolling(struct roll *roll, const struct generation *current)
{
    struct err err;
    struct conf *conf = conf_load(roll->conf_path, &err);
    if (conf != NULL && !generation_can_follow(current->conf, conf, &err))
        conf_destroy(&conf);
    if (conf == NULL) {
        end(roll, err.text);
        return;
    }
    roll->next = generation_create(current->number + 1, conf, roll->shared->stats);
    roll->slot = 0;
    roll->started = false;
    roll->state = ROLL_ROLLING;
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
    close(roll->fd);
    roll->fd = -1;
    if (n == 0) {
        take_verdict(roll, current);
        return;
    }
    kill(roll->checker, SIGKILL);
    end(roll, "the check took longer than 5 s");
}

void roll_child_ended(struct roll *roll, pid_t pid)
{
    if (roll->checker == pid)
        roll->checker = 0;
}

/* ---- rolling ---- */

static void give_up(struct roll *roll, const char *why)
{
    char text[128];
    snprintf(text, sizeof text, "worker %d of the new configuration %s; the old workers stay", roll->slot, why);
    workers_kill_next(roll->workers, roll->slot);
    generation_destroy(&roll->next);
    end(roll, text);
}

static void finish(struct roll *roll, struct generation **current)
{
    struct generation *old = *current;
    *current = roll->next;
    roll->next = NULL;
    generation_destroy(&old);
    log_set_level((enum log_level)(*current)->conf->log_level);
    log_info("configuration %d is in force", (*current)->number);
    end(roll, NULL);
}

static void step_roll(struct roll *roll, struct generation **current, int64_t now_us)
{
    while (roll->state == ROLL_ROLLING) {
        if (roll->slot == roll->slots) {
            /* Who is told that it is in force must not meet an old worker with its next connection. */
            if (!workers_old_listen(roll->workers) || now_us >= roll->deadline_us)
                finish(roll, current);
            return;
        }
        if (!roll->started) {
            roll->started = workers_start_next(roll->workers, roll->slot, roll->next, now_us) >= 0;
            roll->deadline_us = now_us + READY_LIMIT_US;
            if (!roll->started) {
                give_up(roll, "cannot start");
                return;
            }
        }
        enum proc_state state = workers_next_state(roll->workers, roll->slot);
        if (state == PROC_READY) {
            workers_promote_next(roll->workers, roll->slot++);
            roll->started = false;
        } else if (state == PROC_FREE) {
            give_up(roll, "died");
        } else if (now_us >= roll->deadline_us) {
            give_up(roll, "was not ready within 10 s");
        } else {
            return;
        }
    }
}

int64_t roll_step(struct roll *roll, struct generation **current, int64_t now_us)
{
    if (roll->state == ROLL_IDLE && roll->requested)
        start_check(roll, now_us);
    if (roll->state == ROLL_CHECKING)
        step_check(roll, *current, now_us);
    if (roll->state == ROLL_ROLLING)
        step_roll(roll, current, now_us);
    if (roll->state == ROLL_IDLE)
        return roll->requested ? now_us : INT64_MAX;
    return roll->deadline_us;
}
