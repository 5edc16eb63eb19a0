#include "master/ctl/source.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct source {
    char dir[PATH_BYTES - 16], path[PATH_BYTES];
    struct stats_view *view;
    int64_t last_us; /* of the last snapshot: of one that has died meanwhile the next is no earlier */
};

/* Where an instance may stand when no folder is named; the second is that of scripts/run. */
static const char *const usual_dirs[] = {"run", "run/perfd", "/run/perfd"};

/* One that may not be searched is told of by who opens it. */
static bool has_statistics(const char *dir)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/perfd.stats", dir);
    return access(path, F_OK) == 0 || errno == EACCES;
}

const char *source_find_dir(void)
{
    for (size_t i = 0; i < ARRAY_LEN(usual_dirs); i++)
        if (has_statistics(usual_dirs[i]))
            return usual_dirs[i];
    return NULL;
}

bool source_know_dir(const char **dir)
{
    if (*dir == NULL && (*dir = source_find_dir()) == NULL)
        fputs("perfctl: no perfd.stats in ./run, ./run/perfd or /run/perfd: perfd is not running there (see --dir)\n",
              stderr);
    return *dir != NULL;
}

/* The master holds a lock on its pid file for as long as it lives, also while it is stopped; its number alone could
 * have gone to another process. */
static bool master_lives(const char *dir, int pid)
{
    char path[PATH_BYTES];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/perfd.pid", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0;
    if (fd >= 0)
        close(fd);
    if (known)
        return lock.l_type == F_WRLCK && (lock.l_pid == pid || lock.l_pid <= 0); /* 0: of another pid namespace */
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

void (*source_at_cut)(void);

/* Somebody cut the file while it was read, which perfd itself never does. */
static void on_sigbus(int sig)
{
    static const char text[] = "perfctl: the statistics file was cut short while it was read\n";
    (void)sig;
    if (source_at_cut != NULL)
        source_at_cut();
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(CTL_FAILED);
}

enum ctl_exit source_open(const char *dir, struct source **source_out)
{
    struct err err;
    struct source *s = xcalloc(1, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    snprintf(s->path, sizeof s->path, "%s/perfd.stats", s->dir);
    *source_out = NULL;
    signal(SIGBUS, on_sigbus);
    if (access(s->path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        fprintf(stderr, "perfctl: %s: %s: perfd is not running there\n", s->path, strerror(errno));
        free(s);
        return CTL_NOT_RUNNING;
    }
    s->view = stats_view_open(s->path, &err);
    if (s->view == NULL) {
        fprintf(stderr, "perfctl: %s\n", err.text);
        free(s);
        return CTL_FAILED;
    }
    if (!source_is_running(s))
        fputs("perfctl: perfd is not running; these are its last figures\n", stderr);
    *source_out = s;
    return CTL_OK;
}

void source_close(struct source **doomed)
{
    struct source *s = *doomed;
    *doomed = NULL;
    if (s == NULL)
        return;
    stats_view_close(&s->view);
    free(s);
}

struct stats_view *source_view(struct source *s)
{
    struct err err;
    struct stats_view *next = stats_view_is_current(s->view) ? NULL : stats_view_open(s->path, &err);
    if (next != NULL) {
        stats_view_close(&s->view);
        s->view = next;
        s->last_us = 0;
    }
    return s->view;
}

bool source_is_running(const struct source *s)
{
    return stats_view_is_current(s->view) && master_lives(s->dir, stats_view_master_pid(s->view));
}

struct snapshot *source_take(struct source *s)
{
    struct snapshot *snapshot = snapshot_take(source_view(s), clock_wall_us());
    if (!source_is_running(s)) {
        snapshot->at_us = MAX(MAX(snapshot_sum(snapshot, STAT_beat_us), s->last_us), snapshot->started_us);
        snapshot->span_us = snapshot->at_us - snapshot->started_us;
    }
    s->last_us = snapshot->at_us;
    return snapshot;
}

void source_wait(int64_t us)
{
    struct timespec left = {us / US_PER_S, us % US_PER_S * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
