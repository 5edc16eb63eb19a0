#include "master/log_files.h"
#include "common/log.h"
#include "master/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLAGS = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC };

/* A file of this name, and no other name of something else. -1 with errno. */
static int open_unlinked(const char *path)
{
    struct stat st;
    int fd = open(path, FLAGS | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (fd < 0 || (fstat(fd, &st) == 0 && (st.st_nlink <= 1 || !S_ISREG(st.st_mode))))
        return fd;
    close(fd);
    errno = EMLINK;
    return -1;
}

int log_files_open(const struct conf *conf)
{
    return privileges_differ(conf) ? open_unlinked(conf->error_log) : open(conf->error_log, FLAGS, 0640);
}

/* A file that cannot be opened here is told by the worker that tries it then. */
static void give(const char *path, uid_t uid)
{
    struct stat st;
    if (strcmp(path, "stderr") == 0 || strcmp(path, "off") == 0)
        return;
    int fd = open_unlinked(path);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && fchown(fd, uid, -1) != 0)
        log_warn("%s: it cannot be given to the workers' user: %s", path, strerror(errno));
    close(fd);
}

void log_files_give(const struct conf *conf)
{
    if (!privileges_differ(conf))
        return;
    give(conf->access_log, conf->uid);
    give(conf->error_log, conf->uid);
}
