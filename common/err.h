/* One error on its way up: the text that a human will read. Context is put in front while it goes up; it is logged
 * once, where it is handled. A function that can fail returns false and fills *err. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/base.h"

struct err {
    char text[1024];
};

/* Both return false, so that a caller can `return err_set(...)`. The text is cut at the buffer's end. */
bool err_set(struct err *err, const char *fmt, ...) PRINTF(2, 3);
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF(2, 3);

#endif
