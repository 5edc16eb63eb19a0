#include "master/privileges.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OOM_MASTER = -900, OOM_CHILD_MORE = 100, OOM_MOST = 1000 };

/* ---- who goes first where memory is short ---- */

static int oom_score; /* that perfd was started with */

static bool write_oom_score(int score)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && dprintf(fd, "%d", score) > 0;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return ok;
}

static int read_oom_score(void)
{
    int score = 0;
    FILE *file = fopen("/proc/self/oom_score_adj", "re");
    if (file != NULL && fscanf(file, "%d", &score) != 1)
        score = 0;
    if (file != NULL)
        fclose(file);
    return score;
}

/* ---- the master ---- */

/* A connection is a descriptor, and 1,024, the usual soft limit, are few. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)(1 << 20));
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("the limit of open files stays as it is: %s", strerror(errno));
}

void privileges_of_master(const struct conf *conf)
{
    raise_descriptor_limit();
    oom_score = read_oom_score();
    bool last = write_oom_score(MIN(oom_score, OOM_MASTER));
    int failed = errno;
    bool stays = conf->user != NULL && conf->uid != geteuid();
    if (geteuid() != 0)
        log_write(last && !stays ? LOG_INFO : LOG_WARN,
                  "perfd is not root: %sno kernel stack of a process that hangs is told%s%s",
                  last ? "" : "the OOM score of the master is not lowered, ",
                  stays ? ", and workers do not become " : "", stays ? conf->user : "");
    else if (!last)
        log_warn("the OOM score of the master is not lowered: %s", strerror(failed));
    if (geteuid() == 0 && conf->user == NULL)
        log_warn("workers run as root: user in %s would change that", conf->file);
}

/* ---- its children ---- */

/* A score as low as the master's was set for the master: a unit of systemd can, where perfd is not root. */
static int child_oom_score(void)
{
    return MIN((oom_score <= OOM_MASTER ? 0 : oom_score) + OOM_CHILD_MORE, OOM_MOST);
}

bool privileges_differ(const struct conf *conf)
{
    return conf->user != NULL && geteuid() == 0 && conf->uid != 0;
}

/* libpq looks for its files there, and takes one that it may not look at for an error. */
static void move_home(const struct conf *conf)
{
    setenv("HOME", conf->home, 1);
    setenv("USER", conf->user, 1);
    setenv("LOGNAME", conf->user, 1);
}

bool privileges_drop(const struct conf *conf, struct err *err)
{
    if (!privileges_differ(conf))
        return true;
    if (setgroups((size_t)conf->group_count, conf->groups) != 0 || setresgid(conf->gid, conf->gid, conf->gid) != 0 ||
        setresuid(conf->uid, conf->uid, conf->uid) != 0)
        return err_set(err, "cannot become user %s: %s", conf->user, strerror(errno));
    if (setuid(0) == 0) /* securebits can let root's rights stay */
        return err_set(err, "cannot become user %s: root's rights stay", conf->user);
    move_home(conf);
    return true;
}

void privileges_end_with(pid_t master, int sig)
{
    prctl(PR_SET_PDEATHSIG, sig);
    if (getppid() != master)
        _exit(0); /* it died before the line above */
}

static void limit_core(int64_t bytes)
{
    struct rlimit limit;
    rlim_t wanted = bytes == CONF_LIMIT_NONE ? RLIM_INFINITY : (rlim_t)bytes;
    if (bytes == CONF_LIMIT_AUTO || getrlimit(RLIMIT_CORE, &limit) != 0)
        return;
    limit.rlim_cur = wanted;
    limit.rlim_max = MAX(limit.rlim_max, wanted);
    if (setrlimit(RLIMIT_CORE, &limit) != 0)
        log_warn("core_limit: %s; it stays as perfd was started with", strerror(errno));
}

/* A process that changed its user leaves no core, and may be traced by root alone. */
static void let_dump(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur > 0)
        prctl(PR_SET_DUMPABLE, 1);
}

bool privileges_of_child(const struct conf *conf, pid_t master, int sig, struct err *err)
{
    /* While the file is root's: it is no longer ours to write after the change. */
    if (!write_oom_score(child_oom_score()))
        log_debug("the OOM score stays: %s", strerror(errno));
    limit_core(conf->core_limit_bytes);
    if (!privileges_drop(conf, err))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(err, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
    let_dump();
    privileges_end_with(master, sig); /* a change of the user takes it away */
    return true;
}
