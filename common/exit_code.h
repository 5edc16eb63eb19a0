/* What the programs' processes tell by ending. 1 is any other failure of a child. */
#ifndef COMMON_EXIT_CODE_H
#define COMMON_EXIT_CODE_H

enum exit_code { EXIT_DONE = 0, EXIT_CONFIGURATION = 2, EXIT_START = 3, EXIT_RESOURCES = 4 };

#endif
