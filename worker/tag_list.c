#include "worker/tag_list.h"

bool tag_list_next(const char **at, char *room, struct slice *tag_out)
{
    const char *from = *at;
    size_t len = 0;
    while (*from == ',')
        from++;
    for (; *from != '\0' && *from != ','; from++) {
        if (*from == '\\' && from[1] != '\0')
            from++;
        room[len++] = *from;
    }
    *at = from;
    *tag_out = slice_of(room, len);
    return len > 0;
}
