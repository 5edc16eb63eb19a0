/* What a new connection to Redis or a Sentinel is asked, and what the answers mean. */
#ifndef WORKER_REDIS_GREET_H
#define WORKER_REDIS_GREET_H

#include "common/redis_url.h"

#include <hiredis/hiredis.h>

struct redis_greeting {
    int argc;
    const char *argv[4];
};

/* False: there is nobody to log in as. */
bool redis_greet_login(const struct redis_login *login, struct redis_greeting *out);
struct redis_greeting redis_greet_role(void);

/* INFO server: a number of this run of this server, never 0. False: it does not tell, so the number is the address's.
 */
bool redis_greet_server(const redisReply *reply, const struct redis_host *host, const char *path, uint32_t *server_out);
/* INFO replication. A server that does not tell is taken for a master: the first write will show. */
bool redis_greet_is_master(const redisReply *reply);
/* SENTINEL get-master-addr-by-name. why_out: static, or the reply's. */
bool redis_greet_master_at(const redisReply *reply, struct redis_host *out, const char **why_out);

#endif
