/* perfctl snapshot: every figure of now, for a diff later. */
#include "master/ctl/ctl.h"
#include "master/ctl/snapshot_file.h"

#include <errno.h>
#include <string.h>

static enum ctl_exit fail(const struct ctl *ctl, const char *path)
{
    char what[64];
    snprintf(what, sizeof what, "cannot write: %s", strerror(errno));
    return ctl_fail(ctl, what, path);
}

enum ctl_exit command_snapshot(const struct ctl *ctl)
{
    if (ctl->output == OUTPUT_CSV)
        return ctl_wrong_usage("a snapshot is JSON, not csv", "");
    if (ctl->arg_count == 0)
        return snapshot_file_write(ctl->figures, stdout) ? CTL_OK : fail(ctl, "standard output");
    FILE *out = fopen(ctl->args[0], "we");
    if (out == NULL)
        return fail(ctl, ctl->args[0]);
    bool ok = snapshot_file_write(ctl->figures, out);
    return fclose(out) == 0 && ok ? CTL_OK : fail(ctl, ctl->args[0]);
}
