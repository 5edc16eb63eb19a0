#include "shm/control.h"
#include "shm/segment.h"

bool control_create(struct control *control, struct err *err)
{
    struct segment_section sections[] = {{"tags", tags_bytes(), sizeof(uint64_t), NULL},
                                         {"board", board_bytes(), board_bytes(), NULL},
                                         {"flights", flights_bytes(), FLIGHT_BYTES, NULL},
                                         {"permits", permits_bytes(), PERMIT_ROW_BYTES, NULL},
                                         {"rates", rates_bytes(), RATES_SET_BYTES, NULL}};
    *control = (struct control){.segment = segment_create("perfd-control", sections, ARRAY_LEN(sections), err)};
    control->tags = sections[0].at;
    control->board = sections[1].at;
    control->flights = sections[2].at;
    control->permits = sections[3].at;
    control->rates = sections[4].at;
    if (control->segment != NULL)
        rates_init(control->rates);
    return control->segment != NULL;
}

void control_destroy(struct control *control)
{
    if (control->segment != NULL)
        segment_destroy(control->segment);
    *control = (struct control){0};
}
