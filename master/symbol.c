#include "master/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *at;
    size_t bytes;
};

static const void *part(const struct file *file, uint64_t offset, uint64_t bytes)
{
    return offset <= file->bytes && bytes <= file->bytes - offset ? file->at + offset : NULL;
}

static const ElfW(Shdr) * section(const struct file *file, const ElfW(Ehdr) * head, uint64_t index)
{
    return index < head->e_shnum ? part(file, head->e_shoff + index * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr))) : NULL;
}

/* The name of the function of the table that spans the offset; NULL: of none. */
static const char *function_in(const struct file *file, const ElfW(Shdr) * table, const ElfW(Shdr) * names,
                               uint64_t offset)
{
    const ElfW(Sym) *symbols = part(file, table->sh_offset, table->sh_size);
    const char *texts = part(file, names->sh_offset, names->sh_size);
    if (symbols == NULL || texts == NULL || names->sh_size == 0 || texts[names->sh_size - 1] != '\0')
        return NULL;
    for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && offset >= symbols[i].st_value &&
            offset - symbols[i].st_value < symbols[i].st_size && symbols[i].st_name < names->sh_size)
            return texts + symbols[i].st_name;
    return NULL;
}

static void find_function(const struct file *file, uint64_t offset, char *name, size_t bytes)
{
    const ElfW(Ehdr) *head = part(file, 0, sizeof *head);
    for (uint64_t i = 0; head != NULL && i < head->e_shnum; i++) {
        const ElfW(Shdr) *table = section(file, head, i);
        const ElfW(Shdr) *names =
            table != NULL && table->sh_type == SHT_SYMTAB ? section(file, head, table->sh_link) : NULL;
        const char *found = names != NULL ? function_in(file, table, names, offset) : NULL;
        if (found != NULL)
            snprintf(name, bytes, "%s ", found);
    }
}

/* Most functions are static, and no loader knows them: the program's own table does. */
static void name_own(uint64_t offset, char *name, size_t bytes)
{
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *at =
        fd >= 0 && fstat(fd, &st) == 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (at != MAP_FAILED) {
        const struct file file = {at, (size_t)st.st_size};
        find_function(&file, offset, name, bytes);
        munmap(at, (size_t)st.st_size);
    }
    if (fd >= 0)
        close(fd);
}

struct symbol symbol_at(uint64_t address)
{
    struct symbol symbol;
    char name[80] = "";
    Dl_info info, own;
    if (dladdr((void *)(uintptr_t)address, &info) == 0 || dladdr((void *)(uintptr_t)symbol_at, &own) == 0) {
        snprintf(symbol.s, sizeof symbol.s, "%#llx", (unsigned long long)address);
        return symbol;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *module = info.dli_fbase == own.dli_fbase ? "perfd" : slash != NULL ? slash + 1 : info.dli_fname;
    uint64_t offset = address - (uint64_t)(uintptr_t)info.dli_fbase;
    if (info.dli_fbase == own.dli_fbase)
        name_own(offset, name, sizeof name);
    else if (info.dli_sname != NULL)
        snprintf(name, sizeof name, "%s ", info.dli_sname);
    snprintf(symbol.s, sizeof symbol.s, "%s%.32s+%#llx", name, module, (unsigned long long)offset);
    return symbol;
}
