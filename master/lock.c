#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const char *run_dir, char path[4200])
{
    snprintf(path, 4200, "%s/perfd.pid", run_dir);
}

static bool is_file_at(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

/* The locked file that has the name, or -1. A perfd that ends takes the file away: who opened it just before would
 * lock a file without a name, and the next one another file. */
static int open_locked(const char *path, const char *run_dir, struct err *err)
{
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        bool locked = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0;
        int failed = errno;
        if (locked && is_file_at(fd, path))
            return fd;
        bool taken = fd >= 0 && !locked && (failed == EACCES || failed == EAGAIN) && fcntl(fd, F_GETLK, &lock) == 0;
        if (fd >= 0)
            close(fd);
        if (locked || (taken && lock.l_type == F_UNLCK))
            continue; /* its owner ended meanwhile */
        if (taken)
            err_set(err, "%s: another perfd (pid %d) runs in this folder", run_dir, (int)lock.l_pid);
        else
            err_set(err, "%s: %s", path, strerror(failed));
        return -1;
    }
}

int lock_acquire(const char *run_dir, struct err *err)
{
    char path[4200], pid[16];
    path_of(run_dir, path);
    int fd = open_locked(path, run_dir, err);
    if (fd < 0)
        return -1;
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
