#include "common/clock.h"
#include "master/ctl/control.h"

enum { TIMEOUT_S = 5 };

enum ctl_exit command_ping(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_S * US_PER_S);
}
