/* The commands that only ask something of the master. */
#include "common/clock.h"
#include "master/ctl/control.h"

#define TIMEOUT_US (5 * US_PER_S)
#define UPGRADE_TIMEOUT_US (180 * US_PER_S) /* upgrade_timeout twice, and one before it may still drain */
#define RELOAD_TIMEOUT_US (40 * US_PER_S)   /* the new workers may take 10 s each to get ready */

enum ctl_exit command_reload(const struct ctl *ctl)
{
    return control_ask(ctl, RELOAD_TIMEOUT_US);
}

enum ctl_exit command_upgrade(const struct ctl *ctl)
{
    return control_ask(ctl, UPGRADE_TIMEOUT_US);
}

enum ctl_exit command_reopen(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_quit(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_stop(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_ping(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_drain(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_resume(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}

enum ctl_exit command_replace(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_US);
}
