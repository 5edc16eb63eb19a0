/* What top shows below its head: one table at a time, filled from the model. A view is a row of views.def and a file.
 */
#ifndef MASTER_CTL_TOP_VIEW_H
#define MASTER_CTL_TOP_VIEW_H

#include "master/ctl/top/grid.h"
#include "master/ctl/top/model.h"

enum view_id {
#define VIEW(name, help) VIEW_##name,
#include "master/ctl/top/views.def"
#undef VIEW
    VIEW_COUNT
};

struct view {
    const struct grid_column *columns;
    int column_count;
    int sort; /* a column, at first */
    bool down;
    void (*fill)(const struct model *model, struct grid *grid);
};

#define VIEW(name, help) extern const struct view view_##name;
#include "master/ctl/top/views.def"
#undef VIEW

#endif
