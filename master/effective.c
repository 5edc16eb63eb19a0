#include "master/effective.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>

static char *text_of(const struct conf *conf)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    conf_print(conf, out);
    bool whole = ferror(out) == 0;
    if (fclose(out) == 0 && whole)
        return text;
    free(text);
    return NULL;
}

static char *json_of(const struct generation *g, const char *path, const char *text)
{
    char read_us[32], fingerprint[32];
    cJSON *json = cJSON_CreateObject();
    snprintf(read_us, sizeof read_us, "%" PRId64, g->read_us);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, g->conf->fingerprint);
    bool ok = cJSON_AddBoolToObject(json, "ok", true) && cJSON_AddNumberToObject(json, "generation", g->number) &&
              cJSON_AddStringToObject(json, "file", path) && cJSON_AddRawToObject(json, "read_us", read_us) &&
              cJSON_AddStringToObject(json, "fingerprint", fingerprint) && cJSON_AddStringToObject(json, "text", text);
    char *line = ok ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return line;
}

const char *effective_json(struct effective *e, const struct generation *g, const char *path)
{
    if (e->json != NULL && e->number == g->number)
        return e->json;
    effective_deinit(e);
    char *text = text_of(g->conf);
    if (text == NULL)
        return NULL;
    e->json = json_of(g, path, text);
    e->number = g->number;
    free(text);
    return e->json;
}

void effective_deinit(struct effective *e)
{
    cJSON_free(e->json);
    *e = (struct effective){0};
}
