#include "common/conf_parse.h"

#include <grp.h>
#include <pwd.h>

static struct conf_pos name_pos(const struct conf_parser *p, const char *directive)
{
    return conf_seen(&p->main, directive)->args[0].pos;
}

static bool find_group(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    const struct group *group = getgrnam(conf->group);
    if (group == NULL)
        return conf_error(p->err, name_pos(p, "group"), "\"%.100s\" is no group of this machine", conf->group);
    conf->gid = group->gr_gid;
    return true;
}

/* Here, and not when a worker starts: where users stand in a directory that does not answer, none could. */
bool conf_finish_user(struct conf_parser *p)
{
    struct conf *conf = p->conf;
    if (conf->user == NULL)
        return conf->group == NULL || conf_error(p->err, name_pos(p, "group"), "group needs user");
    const struct passwd *user = getpwnam(conf->user);
    if (user == NULL)
        return conf_error(p->err, name_pos(p, "user"), "\"%.100s\" is no user of this machine", conf->user);
    conf->uid = user->pw_uid;
    conf->gid = user->pw_gid;
    conf->home = arena_str(p->arena, slice_str(user->pw_dir));
    if (conf->group != NULL && !find_group(p))
        return false;
    (void)getgrouplist(conf->user, conf->gid, NULL, &conf->group_count);
    conf->groups = arena_alloc(p->arena, (size_t)conf->group_count * sizeof *conf->groups);
    return getgrouplist(conf->user, conf->gid, conf->groups, &conf->group_count) >= 0 ||
           conf_error(p->err, name_pos(p, "user"), "the groups of \"%.100s\" are not to be had", conf->user);
}
