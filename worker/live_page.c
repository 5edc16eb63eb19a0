#include "worker/live_page.h"
#include "worker/reply.h"

/* What assemble made, between two symbols. LIVE_DIR: GNUmakefile's. */
#define EMBED(name, file)                                                                                              \
    __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" LIVE_DIR "/" file "\"\n" #name                        \
            "_end:\n.popsection\n");                                                                                   \
    extern const char name##_begin[] __asm__(#name "_begin"), name##_end[] __asm__(#name "_end")

EMBED(live_html, "page.html");
EMBED(live_gzip, "page.html.gz");
EMBED(live_head, "head"); /* header fields, each with its CRLF */

#define EMBEDDED(name) slice_of(name##_begin, (size_t)(name##_end - name##_begin))

void live_page_answer(struct request *r)
{
    static char etag[CACHE_ETAG_BYTES];
    if (etag[0] == '\0')
        reply_etag(EMBEDDED(live_html), EMBEDDED(live_head), etag);
    const struct answer answer = {.status = 200,
                                  .body = EMBEDDED(live_html),
                                  .gzip = r->service->conf->compress ? EMBEDDED(live_gzip) : slice_of(NULL, 0),
                                  .head = EMBEDDED(live_head),
                                  .etag = etag,
                                  .age_us = -1,
                                  .varies = r->service->conf->compress};
    reply_answer(r, &answer);
}
