#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void path_of(const char *run_dir, char path[4200])
{
    snprintf(path, 4200, "%s/perfd.pid", run_dir);
}

int lock_acquire(const char *run_dir, struct err *err)
{
    char path[4200], pid[16];
    path_of(run_dir, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        err_set(err, "%s: %s", path, strerror(errno));
        return -1;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) != 0) {
        int failed = errno;
        if ((failed == EACCES || failed == EAGAIN) && fcntl(fd, F_GETLK, &lock) == 0)
            err_set(err, "%s: another perfd (pid %d) runs in this folder", run_dir, (int)lock.l_pid);
        else
            err_set(err, "%s: %s", path, strerror(failed));
        close(fd);
        return -1;
    }
    int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)len, 0) != len) {
        err_set(err, "%s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

void lock_release(int fd, const char *run_dir)
{
    char path[4200];
    path_of(run_dir, path);
    unlink(path);
    close(fd);
}
