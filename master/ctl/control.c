#include "master/ctl/control.h"
#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What stands behind a command of the master is a slot, where it has no question of its own. */
static cJSON *make_question(const struct ctl *ctl)
{
    cJSON *question = cJSON_CreateObject();
    if (ctl->arg_count > 0)
        cJSON_AddNumberToObject(question, "slot", atoi(ctl->args[0]));
    return question;
}

static bool send_question(int fd, const struct ctl *ctl, cJSON *question)
{
    cJSON_AddStringToObject(question, "command", ctl->command);
    char *text = cJSON_PrintUnformatted(question);
    struct buf line = {0};
    buf_adds(&line, text);
    buf_addc(&line, '\n');
    bool sent = send(fd, line.at, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    int failed = errno;
    cJSON_free(text);
    buf_deinit(&line);
    errno = failed;
    return sent;
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

static enum ctl_exit get(const struct ctl *ctl, cJSON *question, int64_t timeout_us, cJSON **answer_out)
{
    struct buf line = {0};
    int64_t until_us = clock_mono_us() + timeout_us;
    int fd = dial(ctl->dir, timeout_us);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR))
        return fail(ctl, CTL_NOT_RUNNING, "perfd is not running there");
    if (fd < 0)
        return fail(ctl, CTL_FAILED, errno == EAGAIN ? "no answer in time" : strerror(errno));
    bool whole = send_question(fd, ctl, question) && read_line(fd, &line, until_us);
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

enum ctl_exit control_get(const struct ctl *ctl, int64_t timeout_us, cJSON **answer_out)
{
    cJSON *question = make_question(ctl);
    enum ctl_exit code = get(ctl, question, timeout_us, answer_out);
    cJSON_Delete(question);
    return code;
}

enum ctl_exit control_ask_by(const struct ctl *ctl, cJSON **question, int64_t timeout_us)
{
    cJSON *answer = NULL;
    enum ctl_exit code = get(ctl, *question, timeout_us, &answer);
    cJSON_Delete(*question);
    *question = NULL;
    if (code != CTL_OK)
        return code;
    if (ctl->output != OUTPUT_TABLE)
        return control_print(ctl, &answer);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "message"));
    puts(text ? text : "ok");
    cJSON_Delete(answer);
    return CTL_OK;
}

enum ctl_exit control_ask(const struct ctl *ctl, int64_t timeout_us)
{
    cJSON *question = make_question(ctl);
    return control_ask_by(ctl, &question, timeout_us);
}
