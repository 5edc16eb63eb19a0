/* What code of this process, or of one forked from it, stands at an address: "on_beat perfd+0x1f3a2", where the second
 * is what addr2line -fe perfd 0x1f3a2 takes. The function's name is left out when the file does not tell it (stripped).
 */
#ifndef MASTER_SYMBOL_H
#define MASTER_SYMBOL_H

#include "common/base.h"

struct symbol {
    char s[128];
};

struct symbol symbol_at(uint64_t address);

#endif
