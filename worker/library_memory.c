#include "worker/library_memory.h"
#include "common/base.h"

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/* OpenSSL's own give NULL for nothing, and so free by a change to it. */
static void *take(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return bytes > 0 ? xmalloc(bytes) : NULL;
}

static void give(void *at, const char *file, int line)
{
    (void)file, (void)line;
    free(at);
}

static void *change(void *at, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    if (bytes > 0)
        return xrealloc(at, bytes);
    free(at);
    return NULL;
}

void library_memory_setup(void)
{
    cJSON_Hooks hooks = {xmalloc, free};
    cJSON_InitHooks(&hooks);
    CHECK(CRYPTO_set_mem_functions(take, change, give) == 1);
}
