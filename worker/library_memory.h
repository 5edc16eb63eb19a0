/* Libraries allocate as we do: with patience, and never in vain (patience.h), also what is too large for all to wait
 * for it (malloc.c). libevent has event_memory.h, and libcurl is told where it is set up (upstream_curl.c). zlib
 * likewise (gzip.c). libpq and hiredis let nobody choose, and say when they got none. */
#ifndef WORKER_LIBRARY_MEMORY_H
#define WORKER_LIBRARY_MEMORY_H

void library_memory_setup(void); /* before any of them allocates */

#endif
