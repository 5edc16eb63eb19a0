#include "master/ctl/control.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024 };

/* -1 with errno. The folder is opened first and the socket named through it, since a socket's name may have 107 bytes
 * only, and run_dir more. */
static int dial(const char *dir)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = folder < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "/proc/self/fd/%d/control.sock", folder);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    int failed = errno;
    if (folder >= 0)
        close(folder);
    if (!ok && fd >= 0)
        close(fd);
    errno = failed;
    return ok ? fd : -1;
}

static bool send_command(int fd, const char *command)
{
    char line[64];
    int len = snprintf(line, sizeof line, "{\"command\":\"%s\"}\n", command);
    return send(fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

/* The line's length, or -1 with errno; 0: the master closed without a line. */
static ssize_t read_line(int fd, char *line, size_t size, int64_t until_us)
{
    for (size_t len = 0;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left_us = until_us - clock_mono_us();
        int ready = left_us > 0 ? poll(&wait, 1, (int)(left_us / US_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready <= 0)
            return -1;
        ssize_t got = recv(fd, line + len, size - 1 - len, 0);
        if (got < 0)
            return -1;
        if (got == 0 || len + (size_t)got == size - 1)
            return 0;
        line[len + (size_t)got] = '\0';
        if (strchr(line + len, '\n') != NULL)
            return (ssize_t)(len + (size_t)got);
        len += (size_t)got;
    }
}

static enum ctl_exit fail(const struct ctl *ctl, enum ctl_exit code, const char *what)
{
    fprintf(stderr, "perfctl: %s: %s/control.sock: %s\n", ctl->command, ctl->dir, what);
    return code;
}

static enum ctl_exit print_answer(const struct ctl *ctl, const char *line)
{
    char schema[64];
    cJSON *answer = cJSON_Parse(line);
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(answer, "ok");
    if (!cJSON_IsBool(ok)) {
        cJSON_Delete(answer);
        return fail(ctl, CTL_FAILED, "the answer makes no sense");
    }
    bool done = cJSON_IsTrue(ok);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, done ? "message" : "error"));
    if (!done)
        fprintf(stderr, "perfctl: %s: %s\n", ctl->command, text ? text : "refused without a reason");
    else if (!ctl->json)
        puts(text ? text : "ok");
    if (ctl->json) {
        snprintf(schema, sizeof schema, "perfctl.%s/1", ctl->command);
        cJSON_AddStringToObject(answer, "schema", schema);
        document_print(&answer);
    }
    cJSON_Delete(answer);
    return done ? CTL_OK : CTL_FAILED;
}

enum ctl_exit control_ask(const struct ctl *ctl, int64_t timeout_us)
{
    static char line[ANSWER_MAX];
    int64_t until_us = clock_mono_us() + timeout_us;
    int fd = dial(ctl->dir);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR))
        return fail(ctl, CTL_NOT_RUNNING, "perfd is not running there");
    if (fd < 0)
        return fail(ctl, CTL_FAILED, strerror(errno));
    ssize_t len = send_command(fd, ctl->command) ? read_line(fd, line, sizeof line, until_us) : -1;
    int failed = errno;
    close(fd);
    if (len < 0 && failed == ETIMEDOUT)
        return fail(ctl, CTL_FAILED, "no answer in time");
    if (len <= 0)
        return fail(ctl, CTL_FAILED, len < 0 ? strerror(failed) : "closed without an answer");
    return print_answer(ctl, line);
}
