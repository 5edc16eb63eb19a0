#include "master/ctl/flame/perf.h"
#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { NAME_BYTES = 64, LINE_BYTES = 300 };

/* The files of one run. They have no names, so that nothing is left behind however it ends. */
struct run {
    FILE *data; /* of perf record */
    FILE *out, *complaints;
    char data_name[NAME_BYTES]; /* as a child sees it */
};

/* ---- what goes wrong ---- */

/* The first line of what perf complained about that says something. */
static void read_complaint(FILE *complaints, char line[static LINE_BYTES])
{
    rewind(complaints);
    while (fgets(line, LINE_BYTES, complaints) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        size_t letters = strspn(line, " \t\r-");
        if (line[letters] != '\0' && strcmp(line + letters, "Error:") != 0)
            return;
    }
    snprintf(line, LINE_BYTES, "it does not say why");
}

static int paranoid(void)
{
    int level = -1;
    FILE *file = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
    if (file != NULL && fscanf(file, "%d", &level) != 1)
        level = -1;
    if (file != NULL)
        fclose(file);
    return level;
}

static bool complain(const struct run *run, const char *what, struct err *err)
{
    char line[LINE_BYTES];
    read_complaint(run->complaints, line);
    err_set(err, "%s: %s", what, line);
    if (geteuid() != 0) {
        struct err told = *err;
        err_set(err,
                "%.600s (perf may sample others' processes as root, or with CAP_PERFMON and CAP_SYS_PTRACE; "
                "kernel.perf_event_paranoid is %d)",
                told.text, paranoid());
    }
    return false;
}

/* ---- running ---- */

/* How it ended, as waitpid() tells; -1: it could not be started, errno says why. */
static int run_perf(const char *const *argv, const struct run *run)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    pid_t pid;
    int status = -1;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, fileno(run->out), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fileno(run->complaints), STDERR_FILENO);
    int failed = posix_spawnp(&pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (failed == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    errno = failed;
    return status;
}

/* An interrupt ends perf, which keeps what it has, and not us. It then dies of it. */
static bool has_sampled(int status)
{
    return status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

static bool record(struct run *run, const char *event, const char *pids, int64_t duration_us, struct err *err)
{
    char seconds[NAME_BYTES], hz[NAME_BYTES];
    snprintf(seconds, sizeof seconds, "%.3f", (double)duration_us / (double)US_PER_S);
    snprintf(hz, sizeof hz, "%d", PERF_HZ);
    const char *const argv[] = {"perf",         "record", "-q",    "-e", event, "-F",           hz,
                                "--call-graph", "fp",     "-p",    pids, "-o",  run->data_name, "--max-size=1G",
                                "--",           "sleep",  seconds, NULL};
    if (ftruncate(fileno(run->complaints), 0) != 0)
        return err_set(err, "%s", strerror(errno));
    rewind(run->complaints);
    void (*before)(int) = signal(SIGINT, SIG_IGN);
    int status = run_perf(argv, run);
    signal(SIGINT, before);
    if (status == -1 && errno == ENOENT)
        return err_set(err, "perf is not installed (in Debian: apt install linux-perf)");
    if (status == -1)
        return err_set(err, "perf: %s", strerror(errno));
    return has_sampled(status) || complain(run, "perf record", err);
}

static bool print_stacks(struct run *run, struct err *err)
{
    const char *const argv[] = {"perf", "script", "--no-inline", "-F", "comm,ip,sym,dso", "-i", run->data_name, NULL};
    int status = run_perf(argv, run);
    if (status == -1)
        return err_set(err, "perf: %s", strerror(errno));
    return status == 0 || complain(run, "perf script", err);
}

static void close_file(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
    *file = NULL;
}

static bool sample(struct run *run, const char *pids, int64_t duration_us, struct err *err)
{
    snprintf(run->data_name, sizeof run->data_name, "/proc/self/fd/%d", fileno(run->data));
    return (record(run, "cycles", pids, duration_us, err) || record(run, "cpu-clock", pids, duration_us, err)) &&
           print_stacks(run, err);
}

FILE *perf_sample(const int *pids, int count, int64_t duration_us, struct err *err)
{
    struct run run = {.data = tmpfile(), .out = tmpfile(), .complaints = tmpfile()};
    struct buf list = {0};
    for (int i = 0; i < count; i++)
        buf_printf(&list, "%s%d", i > 0 ? "," : "", pids[i]);
    buf_addc(&list, '\0');
    bool ok = run.data != NULL && run.out != NULL && run.complaints != NULL;
    if (!ok)
        err_set(err, "a temporary file: %s", strerror(errno));
    else
        ok = sample(&run, list.at, duration_us, err);
    buf_deinit(&list);
    close_file(&run.data);
    close_file(&run.complaints);
    if (!ok)
        close_file(&run.out);
    else
        rewind(run.out);
    return run.out;
}
