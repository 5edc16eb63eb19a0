#include "common/conf_parse.h"

bool conf_set_certificate(struct conf_parser *p, const struct conf_row *row, void *field,
                          const struct conf_directive *d)
{
    (void)field;
    struct conf *conf = p->conf;
    int count = conf->tls.certificate_count;
    struct conf_certificate *grown = arena_alloc(p->arena, (size_t)(count + 1) * sizeof *grown);
    if (count == row->max)
        return conf_error(p->err, d->pos, "there are more than %d certificates", (int)row->max);
    if (d->args[0].text[0] == '\0' || d->args[1].text[0] == '\0')
        return conf_error(p->err, d->pos, "a path of certificate is empty");
    if (count > 0)
        memcpy(grown, conf->tls.certificates, (size_t)count * sizeof *grown);
    grown[count] = (struct conf_certificate){conf_resolve(p, d->args[0].text, d->pos.file),
                                             conf_resolve(p, d->args[1].text, d->pos.file), d->pos};
    conf->tls.certificates = grown;
    conf->tls.certificate_count = count + 1;
    return true;
}

bool conf_finish_tls(struct conf_parser *p, const struct conf_block *block, const struct conf_directive *d)
{
    if (conf_seen(block, "listen") == NULL || p->conf->tls.certificate_count == 0)
        return conf_error(p->err, d->pos, "\"tls\" needs listen and certificate");
    p->conf->tls.set = true;
    return true;
}
