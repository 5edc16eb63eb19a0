/* master/ctl/snapshot_file.h: a kept snapshot. What is accepted, written and read again is the same, and has no
 * difference to itself. */
/* links: master/ctl/snapshot_file.c master/ctl/document.c shm/snapshot.c shm/stats_view.c shm/stats.c */
/* links: shm/histogram.c shm/slow.c shm/events.c shm/ring.c shm/history.c shm/heavy.c */
#include "master/ctl/snapshot_file.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static char *text_of(const struct snapshot *s, size_t *bytes_out)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes_out);
    CHECK(out != NULL && snapshot_file_write(s, out) && fclose(out) == 0);
    return text;
}

static void check_again(const struct snapshot *s)
{
    struct err err;
    size_t bytes, again_bytes;
    char *text = text_of(s, &bytes);
    struct snapshot *again = snapshot_file_parse(text, bytes, &err);
    CHECK(again != NULL);
    char *again_text = text_of(again, &again_bytes);
    CHECK(bytes == again_bytes && memcmp(text, again_text, bytes) == 0);
    free(text);
    free(again_text);
    snapshot_destroy(&again);
}

static void check_window(const struct snapshot *s)
{
    struct err err;
    struct snapshot *window = snapshot_between(s, s, &err);
    CHECK(window != NULL && window->span_us == 0);
    for (int i = 0; i < s->lists[SCOPE_SLOT].count; i++)
        CHECK(!s->lists[SCOPE_SLOT].infos[i].counter || snapshot_get_at(window, STATS_KEEPER, i) == 0);
    for (int row = 0; row < s->routes; row++)
        for (int i = 0; i < s->lists[SCOPE_ROUTE_HIST].count; i++)
            CHECK(histogram_quantile_us(snapshot_route_hist_at(window, row, i), 0.99) == -1);
    snapshot_destroy(&window);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {""};
    struct snapshot *s = snapshot_file_parse((const char *)data, size, &err);
    if (s == NULL) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    check_again(s);
    check_window(s);
    snapshot_destroy(&s);
    return 0;
}
