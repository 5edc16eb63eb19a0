/* Folders. */
#ifndef COMMON_FOLDER_H
#define COMMON_FOLDER_H

#include "common/err.h"

/* Makes path and every folder above it that is missing (mode 0755). One that is there already is fine. */
bool folder_create(const char *path, struct err *err) MUST_USE;

#endif
