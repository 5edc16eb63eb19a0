#include "common/gzip.h"

#include <stdlib.h>
#include <zlib.h>

/* 15 is the largest window, 16 more is a gzip header around it. */
enum { WINDOW = 15 + 16, MEMORY = 8, GAIN_SHARE = 8 };
/* Of a piece, at a time. */
enum { ROOM_BYTES = 32 << 10 };

struct gzip {
    z_stream z;
};

struct gzip *gzip_create(int level)
{
    struct gzip *g = xcalloc(1, sizeof *g);
    CHECK(deflateInit2(&g->z, level, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
    return g;
}

void gzip_destroy(struct gzip **g)
{
    if (*g == NULL)
        return;
    deflateEnd(&(*g)->z);
    free(*g);
    *g = NULL;
}

static void set_input(struct gzip *g, struct slice bytes)
{
    g->z.next_in = (Bytef *)(uintptr_t)bytes.at; /* zlib's type lacks a const */
    g->z.avail_in = (uInt)bytes.len;
}

/* zlib has more to write as long as it fills the room (zlib.h, deflate). */
void gzip_add(struct gzip *g, struct slice piece, bool ends, struct buf *out)
{
    set_input(g, piece);
    do {
        buf_reserve(out, ROOM_BYTES);
        g->z.next_out = (Bytef *)out->at + out->len;
        g->z.avail_out = ROOM_BYTES;
        int result = deflate(&g->z, ends ? Z_FINISH : Z_SYNC_FLUSH);
        CHECK(result != Z_STREAM_ERROR);
        out->len += ROOM_BYTES - g->z.avail_out;
    } while (g->z.avail_out == 0);
    if (ends)
        deflateReset(&g->z);
}

struct slice gzip_whole(struct gzip *g, struct slice body, char *room)
{
    set_input(g, body);
    g->z.next_out = (Bytef *)room;
    g->z.avail_out = (uInt)(body.len - body.len / GAIN_SHARE);
    bool done = deflate(&g->z, Z_FINISH) == Z_STREAM_END;
    size_t len = g->z.total_out;
    deflateReset(&g->z);
    return slice_of(room, done ? len : 0);
}
