#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
    uint64_t abi = sizeof(struct header) + ((uint64_t)SEGMENT_FORMAT << 32);
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

static void *map(const char *name, size_t bytes, int *fd_out, struct err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int failed = errno;
    if (fd >= 0 && (fd_out == NULL || memory == MAP_FAILED))
        close(fd); /* the mapping keeps the memory */
    else if (fd_out != NULL)
        *fd_out = fd;
    if (memory != MAP_FAILED)
        return memory;
    err_set(err, "cannot make %zu bytes of shared memory for %s: %s", bytes, name, strerror(failed));
    return NULL;
}

static void advise(void *segment, size_t bytes)
{
    madvise(segment, bytes, MADV_DONTDUMP);
    madvise(segment, bytes, MADV_HUGEPAGE);
}

void *segment_create(const char *name, struct segment_section *sections, int count, int *fd_out, struct err *err)
{
    CHECK(count <= SECTIONS_MAX);
    size_t bytes = segment_bytes(sections, count);
    struct header *h = map(name, bytes, fd_out, err);
    if (h == NULL)
        return NULL;
    advise(h, bytes);
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

void *segment_attach(int fd, struct segment_section *sections, int count, struct err *err)
{
    struct stat st;
    size_t bytes = segment_bytes(sections, count), at = PAGE;
    if (fstat(fd, &st) != 0 || (size_t)st.st_size != bytes) {
        err_set(err, "its size is another");
        return NULL;
    }
    void *segment = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (segment == MAP_FAILED) {
        err_set(err, "it cannot be mapped: %s", strerror(errno));
        return NULL;
    }
    if (!segment_fits(segment, sections, count)) {
        munmap(segment, bytes);
        err_set(err, "its layout is another");
        return NULL;
    }
    advise(segment, bytes);
    for (int i = 0; i < count; i++) {
        sections[i].at = (char *)segment + at;
        at += whole_pages(sections[i].bytes);
    }
    return segment;
}

void segment_destroy(void *segment)
{
    const struct header *h = segment;
    munmap(segment, h->bytes);
}
