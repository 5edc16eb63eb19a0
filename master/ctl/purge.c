#include "common/buf.h"
#include "common/clock.h"
#include "master/ctl/control.h"

#define TIMEOUT_US (30 * US_PER_S) /* the master gives the keeper 2 s for each of those before */

enum ctl_exit command_purge(const struct ctl *ctl)
{
    cJSON *question = cJSON_CreateObject();
    struct buf name = {0};
    for (int i = 1; i < ctl->arg_count; i++) { /* `GET /x` need not be quoted */
        buf_adds(&name, i > 1 ? " " : "");
        buf_adds(&name, ctl->args[i]);
    }
    buf_addc(&name, '\0');
    cJSON_AddStringToObject(question, "what", ctl->args[0]);
    cJSON_AddStringToObject(question, "name", name.at);
    buf_deinit(&name);
    return control_ask_by(ctl, &question, TIMEOUT_US);
}
