#include "common/clock.h"
#include "master/ctl/control.h"

/* The new workers may take 10 s each to get ready. */
enum { TIMEOUT_S = 40 };

enum ctl_exit command_reload(const struct ctl *ctl)
{
    return control_ask(ctl, TIMEOUT_S * US_PER_S);
}
