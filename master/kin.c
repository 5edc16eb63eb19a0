#include "master/kin.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

void kin_init(struct kin *kin, struct shared *shared)
{
    *kin = (struct kin){.presence_fd = -1, .epoll_fd = -1, .shared = shared};
    memset(kin->pid_fds, -1, sizeof kin->pid_fds);
}

static void watch(const struct kin *kin, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    CHECK(epoll_ctl(kin->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

void kin_begin(struct kin *kin, int presence_fd)
{
    kin->presence_fd = presence_fd;
    kin->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(kin->epoll_fd >= 0);
    watch(kin, presence_fd);
}

bool kin_lives(const struct kin *kin)
{
    return kin->presence_fd >= 0;
}

int kin_fd(const struct kin *kin)
{
    return kin->epoll_fd;
}

static bool is_theirs(const struct kin *kin, int proc)
{
    int taker = board_taker(kin->shared->board, proc);
    return taker != 0 && taker != getpid();
}

static void reap(struct kin *kin, int proc, int64_t now_us, int64_t doubt_us)
{
    if (shared_reap(kin->shared, proc, now_us))
        tags_set_doubt(kin->shared->tags, doubt_us);
    if (kin->pid_fds[proc] >= 0)
        close(kin->pid_fds[proc]);
    kin->pid_fds[proc] = -1;
}

/* A row whose number is not told yet, or whose process cannot be watched, is the pipe's to see to. */
void kin_orphaned(struct kin *kin, int64_t now_us, int64_t doubt_us)
{
    if (!kin_lives(kin) || kin->alone)
        return;
    kin->alone = true;
    for (int proc = 0; proc < BOARD_ROWS; proc++) {
        int pid = is_theirs(kin, proc) ? board_pid(kin->shared->board, proc) : 0;
        if (pid <= 0)
            continue;
        kin->pid_fds[proc] = (int)syscall(SYS_pidfd_open, pid, 0);
        if (kin->pid_fds[proc] >= 0)
            watch(kin, kin->pid_fds[proc]);
        else if (errno == ESRCH)
            reap(kin, proc, now_us, doubt_us);
    }
}

static bool is_readable(const struct kin *kin, int fd)
{
    struct epoll_event events[BOARD_ROWS + 1];
    int count = epoll_wait(kin->epoll_fd, events, BOARD_ROWS + 1, 0);
    for (int i = 0; i < count; i++)
        if (events[i].data.fd == fd)
            return true;
    return false;
}

static void end(struct kin *kin, int64_t now_us, int64_t doubt_us)
{
    for (int proc = 0; proc < BOARD_ROWS; proc++)
        if (is_theirs(kin, proc))
            reap(kin, proc, now_us, doubt_us);
    permits_inherit(kin->shared->permits, &kin->shared->permit_debts, doubt_us);
    kin_forget(kin);
    kin_init(kin, kin->shared);
}

enum kin_step kin_step(struct kin *kin, int64_t now_us, int64_t doubt_us)
{
    if (!kin_lives(kin))
        return KIN_SAME;
    for (int proc = 0; proc < BOARD_ROWS; proc++)
        if (kin->pid_fds[proc] >= 0 && is_readable(kin, kin->pid_fds[proc]))
            reap(kin, proc, now_us, doubt_us);
    if (!is_readable(kin, kin->presence_fd))
        return KIN_SAME;
    end(kin, now_us, doubt_us);
    return KIN_ENDED;
}

void kin_forget(const struct kin *kin)
{
    for (int proc = 0; proc < BOARD_ROWS; proc++)
        if (kin->pid_fds[proc] >= 0)
            close(kin->pid_fds[proc]);
    if (kin->epoll_fd >= 0)
        close(kin->epoll_fd);
    if (kin->presence_fd >= 0)
        close(kin->presence_fd);
}
