#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Whose number stands there; 0: nobody's yet. */
static int signed_by(int fd)
{
    char text[16] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    return len > 0 ? atoi(text) : 0;
}

/* The locked file that has the name, or -1. A perfd that ends takes the file away: who opened it just before would
 * lock a file without a name, and the next one another file. */
static int open_locked(const char *path, const char *run_dir, struct err *err)
{
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        bool locked = fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0;
        int failed = errno;
        if (locked && is_file_at(fd, path))
            return fd;
        bool taken = fd >= 0 && !locked && (failed == EACCES || failed == EAGAIN) && fcntl(fd, F_OFD_GETLK, &lock) == 0;
        int owner = taken ? signed_by(fd) : 0;
        /* No perfd's: whoever may read the file can lock it so. */
        bool foreign = taken && lock.l_type == F_RDLCK && is_file_at(fd, path) && unlink(path) == 0;
        if (fd >= 0)
            close(fd);
        if (locked || foreign || (taken && lock.l_type == F_UNLCK))
            continue; /* or its owner ended meanwhile */
        if (taken)
            err_set(err, "%s: another perfd (pid %d) runs in this folder", run_dir, owner);
        else
            err_set(err, "%s: %s", path, strerror(failed));
        return -1;
    }
}

bool lock_is_left(const char *run_dir)
{
    char path[4200];
    path_of(run_dir, path);
    return access(path, F_OK) == 0;
}

int lock_acquire(const char *run_dir, struct err *err)
{
    char path[4200];
    path_of(run_dir, path);
    int fd = open_locked(path, run_dir, err);
    if (fd < 0 || lock_sign(fd, err))
        return fd;
    lock_release(fd, run_dir);
    return -1;
}

bool lock_is_of(int fd, const char *run_dir)
{
    char path[4200];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    path_of(run_dir, path);
    return is_file_at(fd, path) && fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* The number first and the length after it: no reader finds the file empty. */
bool lock_sign(int fd, struct err *err)
{
    char pid[16];
    int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    return (pwrite(fd, pid, (size_t)len, 0) == len && ftruncate(fd, len) == 0) ||
           err_set(err, "perfd.pid: %s", strerror(errno));
}

void lock_release(int fd, const char *run_dir)
{
    char path[4200];
    path_of(run_dir, path);
    unlink(path);
    close(fd);
}
