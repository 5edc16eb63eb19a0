#include "worker/encoding.h"
#include "worker/weighted.h"

bool encoding_takes_gzip(struct slice list)
{
    int gzip = -1, identity = -1, any = -1;
    for (struct weighted coding; weighted_next(&list, &coding);) {
        if (weighted_is(coding.name, "gzip") || weighted_is(coding.name, "x-gzip"))
            gzip = MAX(gzip, coding.weight);
        else if (weighted_is(coding.name, "identity"))
            identity = coding.weight;
        else if (weighted_is(coding.name, "*"))
            any = coding.weight;
    }
    if (gzip < 0)
        gzip = any;
    return gzip > 0 && gzip >= identity;
}
