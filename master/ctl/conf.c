#include "common/conf.h"
#include "master/ctl/ctl.h"

struct conf *ctl_conf_load(const struct ctl *ctl, const struct stats_view *view, struct err *err)
{
    const char *named = ctl_value(ctl, OPTION_conf);
    const char *path = named != NULL ? named : view != NULL ? stats_view_conf(view) : "";
    if (*path != '\0')
        return conf_load(path, err);
    err_set(err, "where the configuration is is not known; name it by --conf");
    return NULL;
}

struct conf *ctl_conf(const struct ctl *ctl, const struct stats_view *view)
{
    struct err err;
    struct conf *conf = ctl_conf_load(ctl, view, &err);
    if (conf == NULL)
        (void)ctl_fail(ctl, err.text, "");
    return conf;
}
