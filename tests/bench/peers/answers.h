/* What the bare servers share: the answers, made beforehand from the files of a folder, and the listening socket.
 * A file F of the folder is served as /body/F. The servers are floors for a comparison: whatever cannot be set up ends
 * the program. */
#ifndef BENCH_PEERS_ANSWERS_H
#define BENCH_PEERS_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { ANSWERS_MAX = 16, DATE_BYTES = 30 }; /* with the NUL */

struct message { /* head and body in one piece, so that one send takes all */
    char *at;
    size_t bytes;
};

struct answer {
    char path[64];
    size_t path_bytes;
    struct message keep, close; /* without and with Connection: close */
    const char *body;
    size_t body_bytes;
};

struct answers {
    struct answer at[ANSWERS_MAX];
    int count;
    char date[DATE_BYTES]; /* of now, as HTTP writes it */
};

void answers_load(struct answers *answers, const char *folder);
const struct answer *answers_find(const struct answers *answers, const char *path, size_t path_bytes);
/* Once a second: formatting a date costs as much as a tenth of an answer. A message that is half sent may be given the
 * new date from there on; its length stays. */
void answers_set_date(struct answers *answers, time_t now);

/* Of 127.0.0.1; non-blocking. What it accepts sends without delay. */
int answers_listen(const char *port);

#endif
