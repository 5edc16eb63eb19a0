#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PAGE = 4096, NAME_BYTES = 16, SECTIONS_MAX = 16 };
#define MAGIC UINT64_C(0x31646672652d7370) /* "ps-erfd1" */

struct header {
    uint64_t magic, abi, bytes, section_count;
    struct {
        char name[NAME_BYTES];
        uint64_t offset, bytes;
    } sections[SECTIONS_MAX];
};
_Static_assert(sizeof(struct header) <= PAGE, "the header is one page");

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

size_t segment_bytes(const struct segment_section *sections, int count)
{
    size_t bytes = PAGE;
    for (int i = 0; i < count; i++)
        bytes += whole_pages(sections[i].bytes);
    return bytes;
}

static uint64_t abi_of(const struct segment_section *sections, int count)
{
    uint64_t abi = sizeof(struct header);
    for (int i = 0; i < count; i++) {
        abi = XXH3_64bits_withSeed(sections[i].name, strlen(sections[i].name), abi);
        abi = XXH3_64bits_withSeed(&sections[i].item_bytes, sizeof sections[i].item_bytes, abi);
    }
    return abi;
}

static void describe(struct header *h, struct segment_section *sections, int count)
{
    size_t at = PAGE;
    *h =
        (struct header){MAGIC, abi_of(sections, count), segment_bytes(sections, count), (uint64_t)count, {{{0}, 0, 0}}};
    for (int i = 0; i < count; i++) {
        snprintf(h->sections[i].name, NAME_BYTES, "%s", sections[i].name);
        h->sections[i].offset = at;
        h->sections[i].bytes = sections[i].bytes;
        sections[i].at = (char *)h + at;
        at += whole_pages(sections[i].bytes);
    }
}

static void *map(const char *name, size_t bytes, struct err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int failed = errno;
    if (fd >= 0)
        close(fd); /* the mapping keeps the memory */
    if (memory != MAP_FAILED)
        return memory;
    err_set(err, "cannot make %zu bytes of shared memory for %s: %s", bytes, name, strerror(failed));
    return NULL;
}

void *segment_create(const char *name, struct segment_section *sections, int count, struct err *err)
{
    CHECK(count <= SECTIONS_MAX);
    size_t bytes = segment_bytes(sections, count);
    struct header *h = map(name, bytes, err);
    if (h == NULL)
        return NULL;
    madvise(h, bytes, MADV_DONTDUMP);
    madvise(h, bytes, MADV_HUGEPAGE);
    madvise(h, bytes, MADV_POPULATE_WRITE);
    describe(h, sections, count);
    return h;
}

bool segment_fits(const void *segment, const struct segment_section *sections, int count)
{
    const struct header *h = segment;
    if (h->magic != MAGIC || h->abi != abi_of(sections, count) || h->bytes != segment_bytes(sections, count) ||
        h->section_count != (uint64_t)count)
        return false;
    for (int i = 0; i < count; i++)
        if (h->sections[i].bytes != sections[i].bytes)
            return false;
    return true;
}

void segment_destroy(void *segment)
{
    const struct header *h = segment;
    munmap(segment, h->bytes);
}
