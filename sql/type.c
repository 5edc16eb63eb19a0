#include "sql/type.h"

struct type type_of(uint32_t oid)
{
    switch (oid) {
#define TYPE(name, oid, array_oid, kind)                                                                               \
    case oid:                                                                                                          \
        return (struct type){TYPE_##kind, false, 0};                                                                   \
    case array_oid:                                                                                                    \
        return (struct type){TYPE_##kind, true, oid};
#include "sql/type.def"
#undef TYPE
    }
    return (struct type){TYPE_OTHER, false, 0};
}

const char *type_name(uint32_t oid)
{
    switch (oid) {
#define TYPE(name, oid, array_oid, kind)                                                                               \
    case oid:                                                                                                          \
        return #name;
#include "sql/type.def"
#undef TYPE
    }
    return NULL;
}
