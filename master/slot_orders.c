#include "master/slot_orders.h"
#include "master/hold.h"
#include "master/replace.h"

const char *slot_order(struct workers *w, const struct generation *generation, enum control_command command, int slot,
                       int64_t now_us)
{
    const struct conf *conf = generation->conf;
    if (slot >= conf->workers || slot < -1)
        return "there is no such slot";
    if (command == CONTROL_DRAIN)
        workers_hold(w, slot, conf->shutdown_timeout_us, now_us);
    else if (command == CONTROL_RESUME)
        workers_release(w, slot);
    else if (slot == -1)
        return "which slot's worker shall be replaced?";
    else if (!workers_replace(w, slot, generation, now_us))
        return "not now: the slot has no worker, or another one is being replaced";
    return NULL;
}
