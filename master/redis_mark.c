#include "master/redis_mark.h"
#include "shm/tags.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MARK_BYTES = 48, SERVER_AT = 33 /* behind the hash */ };

static void path_of(const struct conf *conf, char path[4200])
{
    snprintf(path, 4200, "%s/redis.clean", conf->run_dir);
}

/* Of the address and the prefix, for the address may hold a password. */
static XXH128_hash_t name_of(const struct conf *conf)
{
    return XXH3_128bits_withSeed(conf->redis.url, strlen(conf->redis.url),
                                 XXH3_64bits(conf->redis.prefix, strlen(conf->redis.prefix)));
}

uint64_t redis_mark_name(const struct conf *conf)
{
    return conf->redis.set ? name_of(conf).low64 | 1 : 0;
}

/* Of the server's run, too. */
static void mark_of(const struct conf *conf, uint32_t server, char mark[MARK_BYTES])
{
    XXH128_hash_t hash = name_of(conf);
    snprintf(mark, MARK_BYTES, "%016llx%016llx %08x\n", (unsigned long long)hash.high64, (unsigned long long)hash.low64,
             server);
}

static void write_mark(const struct conf *conf, const char *mark)
{
    char path[4200];
    path_of(conf, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    ssize_t written = write(fd, mark, strlen(mark));
    (void)written; /* half a mark is none */
    close(fd);
}

void redis_mark_take(const struct conf *conf, struct tags *tags)
{
    char path[4200], found[MARK_BYTES] = "", mark[MARK_BYTES];
    tags_set_redis(tags, redis_mark_name(conf));
    if (!conf->redis.set)
        return;
    path_of(conf, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, found, sizeof found - 1);
    uint32_t server = count > SERVER_AT ? (uint32_t)strtoul(found + SERVER_AT, NULL, 16) : 0;
    mark_of(conf, server, mark);
    if (server != 0 && strcmp(found, mark) == 0)
        tags_redis_paid(tags, tags_redis_receipt(tags), server, tags_redis_debt(tags));
    else if (fd >= 0)
        tags_owe_redis(tags);
    if (fd >= 0)
        close(fd);
    write_mark(conf, "in use\n");
}

void redis_mark_leave(const struct conf *conf, struct tags *tags)
{
    char mark[MARK_BYTES];
    if (!conf->redis.set || !tags_redis_is_paid(tags))
        return;
    mark_of(conf, tags_redis_server(tags), mark);
    write_mark(conf, mark);
}
