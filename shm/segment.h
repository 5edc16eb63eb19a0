/* A run of memory that all processes forked later share: a memfd, since a tmpfs can be too small and then kills with
 * SIGBUS. Zeroed, left out of core dumps, in sections that its first page lists: magic, ABI, size, then each section's
 * name, offset and size. Whoever attaches it, a newer perfd to which the descriptor was handed, finds there whether it
 * means the same by it: the ABI number is of the sections' names, of the sizes of their elements, and of
 * SEGMENT_FORMAT, which is raised when something keeps its size and changes its meaning. */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include "common/err.h"

#include <stdint.h>

#ifndef SEGMENT_FORMAT
#define SEGMENT_FORMAT 1
#endif

struct segment_section {
    const char *name;
    size_t bytes;
    size_t item_bytes; /* of one element: part of the ABI number, as is the name */
    void *at;          /* set by segment_create() and segment_attach(): aligned to 4096 */
};

/* All blocks are allocated and touched at once. The caller has checked that the machine can hold them: on a memfd the
 * kernel does not fail an allocation that it cannot hold, it kills processes. name is seen in /proc/PID/maps. Huge
 * pages are asked for and not required. *fd_out is the memfd, close-on-exec and the caller's, for who is to attach it
 * later; fd_out NULL: nobody is. NULL: err says why. */
void *segment_create(const char *name, struct segment_section *sections, int count, int *fd_out,
                     struct err *err) MUST_USE;
/* Maps what another program made by segment_create(). NULL when it does not fit, or cannot be mapped: err says why. */
void *segment_attach(int fd, struct segment_section *sections, int count, struct err *err) MUST_USE;
void segment_destroy(void *segment);
size_t segment_bytes(const struct segment_section *sections, int count); /* what segment_create() would take */
/* Magic, size and sections are those of a segment of this ABI. */
bool segment_fits(const void *segment, const struct segment_section *sections, int count) MUST_USE;

#endif
