#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *segment_create(const char *name, size_t bytes, struct err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int failed = errno;
    if (fd >= 0)
        close(fd); /* the mapping keeps the memory */
    if (memory == MAP_FAILED) {
        err_set(err, "cannot make %zu bytes of shared memory for %s: %s", bytes, name, strerror(failed));
        return NULL;
    }
    madvise(memory, bytes, MADV_DONTDUMP);
    return memory;
}

void segment_destroy(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}
