/* The configuration in force, as perfctl config asks for it: the members of a JSON object, with the text that perfd -T
 * prints. Made when it is first asked for, kept until another configuration is in force. */
#ifndef MASTER_EFFECTIVE_H
#define MASTER_EFFECTIVE_H

#include "master/generation.h"

struct effective {
    int number; /* of the generation whose text it is; 0: none */
    char *json;
};

/* {"ok":true,"generation":2,"file":"/etc/perfd/perfd.conf","read_us":...,"fingerprint":"...","text":"..."}, for as long
 * as nothing else is asked of it. path: the configuration's, absolute. NULL: memory is out. */
const char *effective_json(struct effective *effective, const struct generation *generation, const char *path);
void effective_deinit(struct effective *effective);

#endif
