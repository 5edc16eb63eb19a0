/* The PEM files of the certificates, as they were read: by the master, who may, for workers, who need not be able to.
 * A worker that starts later gets what the others have, whatever stands in the files by then. */
#ifndef WORKER_TLS_FILES_H
#define WORKER_TLS_FILES_H

#include "common/conf.h"
#include "common/slice.h"

struct tls_files;

/* In the order of conf->tls.certificates. NULL with err: "file:line:column: what cannot be read". Blocks. */
struct tls_files *tls_files_read(const struct conf *conf, struct err *err) MUST_USE;
void tls_files_destroy(struct tls_files **files); /* leaves no key in memory */

struct slice tls_files_chain(const struct tls_files *files, int index);
struct slice tls_files_key(const struct tls_files *files, int index);

#endif
