#include "worker/redis_greet.h"
#include "common/slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

bool redis_greet_login(const struct redis_login *login, struct redis_greeting *out)
{
    if (login->password[0] == '\0')
        return false;
    if (login->user[0] != '\0')
        *out = (struct redis_greeting){3, {"AUTH", login->user, login->password}};
    else
        *out = (struct redis_greeting){2, {"AUTH", login->password}};
    return true;
}

struct redis_greeting redis_greet_role(void)
{
    return (struct redis_greeting){2, {"INFO", "replication"}};
}

/* The value of a line "name:value" of INFO. */
static struct slice info_of(const redisReply *reply, const char *name)
{
    const char *at = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, name) : NULL;
    if (at == NULL)
        return SLICE("");
    at += strlen(name);
    return slice_of(at, strcspn(at, "\r\n"));
}

bool redis_greet_server(const redisReply *reply, const struct redis_host *host, const char *path, uint32_t *server_out)
{
    char address[512];
    struct slice run = info_of(reply, "run_id:");
    bool known = run.len > 0;
    if (!known) {
        snprintf(address, sizeof address, "%s %s %d", path, host->name, host->port);
        run = slice_str(address);
    }
    *server_out = (uint32_t)XXH3_64bits(run.at, run.len) | 1;
    return known;
}

bool redis_greet_is_master(const redisReply *reply)
{
    struct slice role = info_of(reply, "role:");
    return role.len == 0 || slice_is(role, "master");
}

bool redis_greet_master_at(const redisReply *reply, struct redis_host *out, const char **why_out)
{
    *why_out = reply->type == REDIS_REPLY_ERROR ? reply->str : "the Sentinel knows no master of that name";
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return false;
    int port = atoi(reply->element[1]->str);
    *why_out = "the Sentinel names no address";
    if (port < 1 || port > 65535 || reply->element[0]->len == 0 || reply->element[0]->len >= sizeof out->name)
        return false;
    snprintf(out->name, sizeof out->name, "%s", reply->element[0]->str);
    out->port = port;
    return true;
}
