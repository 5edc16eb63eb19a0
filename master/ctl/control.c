#include "master/ctl/control.h"
#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

/* -1 with errno. While as many wait as the master's queue has room for it waits, too: EAGAIN after the timeout. The
 * folder is opened first and the socket named through it, since a socket's name may have 107 bytes only, and run_dir
 * more. */
static int dial(const char *dir, int64_t timeout_us)
{
    const struct timeval patience = {timeout_us / US_PER_S, timeout_us % US_PER_S};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = folder < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "/proc/self/fd/%d/control.sock", folder);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
              connect(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    int failed = errno;
    if (folder >= 0)
        close(folder);
    if (!ok && fd >= 0)
        close(fd);
    errno = failed;
    return ok ? fd : -1;
}

/* What stands behind a command of the master is a slot. */
static bool send_command(int fd, const struct ctl *ctl)
{
    char line[96], slot[32] = "";
    if (ctl->arg_count > 0)
        snprintf(slot, sizeof slot, ",\"slot\":%.3s", ctl->args[0]);
    int len = snprintf(line, sizeof line, "{\"command\":\"%s\"%s}\n", ctl->command, slot);
    return send(fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Until one came: the bytes at hand; 0: the master closed, -1: errno. */
static ssize_t read_some(int fd, struct buf *line, int64_t until_us)
{
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left_us = until_us - clock_mono_us();
        int ready = left_us > 0 ? poll(&wait, 1, (int)(left_us / US_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready <= 0)
            return -1;
        buf_reserve(line, READ_BYTES);
        return recv(fd, line->at + line->len, READ_BYTES, 0);
    }
}

/* True: line is a text. False with errno; 0: the master closed without a line. */
static bool read_line(int fd, struct buf *line, int64_t until_us)
{
    for (;;) {
        ssize_t got = read_some(fd, line, until_us);
        if (got == 0)
            errno = 0;
        if (got <= 0)
            return false;
        line->len += (size_t)got;
        if (line->at[line->len - 1] == '\n') {
            line->at[line->len - 1] = '\0';
            return true;
        }
    }
}

static enum ctl_exit fail(const struct ctl *ctl, enum ctl_exit code, const char *what)
{
    fprintf(stderr, "perfctl: %s: %s/control.sock: %s\n", ctl->command, ctl->dir, what);
    return code;
}

static enum ctl_exit parse(const struct ctl *ctl, const char *line, cJSON **answer_out)
{
    cJSON *answer = cJSON_Parse(line);
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(answer, "ok");
    if (!cJSON_IsBool(ok)) {
        cJSON_Delete(answer);
        return fail(ctl, CTL_FAILED, "the answer makes no sense");
    }
    if (cJSON_IsTrue(ok)) {
        *answer_out = answer;
        return CTL_OK;
    }
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "error"));
    fprintf(stderr, "perfctl: %s: %s\n", ctl->command, text ? text : "refused without a reason");
    if (ctl->output != OUTPUT_TABLE)
        control_print(ctl, &answer);
    cJSON_Delete(answer);
    return CTL_FAILED;
}

enum ctl_exit control_print(const struct ctl *ctl, cJSON **answer)
{
    char schema[64];
    snprintf(schema, sizeof schema, "perfctl.%s/1", ctl->command);
    cJSON_AddStringToObject(*answer, "schema", schema);
    return document_print(ctl, answer);
}

enum ctl_exit control_get(const struct ctl *ctl, int64_t timeout_us, cJSON **answer_out)
{
    struct buf line = {0};
    int64_t until_us = clock_mono_us() + timeout_us;
    int fd = dial(ctl->dir, timeout_us);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR))
        return fail(ctl, CTL_NOT_RUNNING, "perfd is not running there");
    if (fd < 0)
        return fail(ctl, CTL_FAILED, errno == EAGAIN ? "no answer in time" : strerror(errno));
    bool whole = send_command(fd, ctl) && read_line(fd, &line, until_us);
    int failed = errno;
    close(fd);
    enum ctl_exit code = CTL_FAILED;
    if (whole)
        code = parse(ctl, line.at, answer_out);
    else if (failed == ETIMEDOUT)
        fail(ctl, CTL_FAILED, "no answer in time");
    else
        fail(ctl, CTL_FAILED, failed != 0 ? strerror(failed) : "closed without an answer");
    buf_deinit(&line);
    return code;
}

enum ctl_exit control_ask(const struct ctl *ctl, int64_t timeout_us)
{
    cJSON *answer = NULL;
    enum ctl_exit code = control_get(ctl, timeout_us, &answer);
    if (code != CTL_OK)
        return code;
    if (ctl->output != OUTPUT_TABLE)
        return control_print(ctl, &answer);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "message"));
    puts(text ? text : "ok");
    cJSON_Delete(answer);
    return CTL_OK;
}
