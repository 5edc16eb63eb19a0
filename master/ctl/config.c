/* perfctl config: what is in force, from the master, and whether the files still say so. */
#include "common/clock.h"
#include "common/conf.h"
#include "master/ctl/control.h"
#include "master/ctl/format.h"
#include "shm/memory_limits.h"

#include <inttypes.h>
#include <stdio.h>

#define TIMEOUT_US (5 * US_PER_S)

/* The files' state beside what is in force: `changed` and, where they cannot be read now, `error`. */
static void compare(cJSON *answer, const char *path, const char *fingerprint)
{
    struct err err;
    char now[32] = "";
    struct conf *conf = conf_load(path, &err);
    if (conf != NULL)
        snprintf(now, sizeof now, "%016" PRIx64, conf->fingerprint);
    cJSON_AddBoolToObject(answer, "changed", strcmp(now, fingerprint) != 0);
    document_text(answer, "error", conf == NULL ? err.text : NULL);
    conf_destroy(&conf);
}

static void print_in_force(const cJSON *answer, const char *path, const char *text)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(answer, "generation");
    const cJSON *read_us = cJSON_GetObjectItemCaseSensitive(answer, "read_us");
    const char *error = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "error"));
    printf("# Configuration %d, read at %s from %s\n", (int)cJSON_GetNumberValue(number),
           format_time((int64_t)cJSON_GetNumberValue(read_us)).s, path);
    if (error != NULL)
        printf("# The files have changed since, and a reload would refuse them: %s\n", error);
    else if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "changed")))
        fputs("# The files have changed since: perfctl reload puts them in force\n", stdout);
    fputs(text, stdout);
}

static enum ctl_exit print_answer(const struct ctl *ctl, cJSON **answer)
{
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(*answer, "file"));
    const char *fingerprint = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(*answer, "fingerprint"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(*answer, "text"));
    if (path == NULL || fingerprint == NULL || text == NULL) {
        cJSON_Delete(*answer);
        return ctl_fail(ctl, "the master's answer makes no sense", "");
    }
    compare(*answer, path, fingerprint);
    if (ctl->output != OUTPUT_TABLE)
        return control_print(ctl, answer);
    print_in_force(*answer, path, text);
    cJSON_Delete(*answer);
    return CTL_OK;
}

/* What a reload would put in force, as far as the files tell. */
static enum ctl_exit print_file(const struct ctl *ctl)
{
    struct err err;
    if (ctl->output != OUTPUT_TABLE)
        return ctl_wrong_usage("config --file prints the text alone, not", "json or csv");
    struct conf *conf = conf_load(stats_view_conf(ctl->view), &err);
    if (conf == NULL)
        return ctl_fail(ctl, err.text, "");
    memory_limits_fill(conf);
    conf_print(conf, stdout);
    conf_destroy(&conf);
    return CTL_OK;
}

enum ctl_exit command_config(const struct ctl *ctl)
{
    if (ctl_value(ctl, OPTION_file) != NULL)
        return print_file(ctl);
    cJSON *answer = NULL;
    enum ctl_exit code = control_get(ctl, TIMEOUT_US, &answer);
    return code == CTL_OK ? print_answer(ctl, &answer) : code;
}
