/* SPDX-License-Identifier: MIT */
/* The records of extended attributes in an index, and which attributes are allowed. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/acl.h"
#include "base/le.h"
#include "store/pack/layout.h"

#define BAD(err, ...) tp_fail(err, EBADMSG, "the index is damaged: " __VA_ARGS__)

bool tp_attr_may_be(const char *name, enum tp_entry_type type)
{
    size_t len = strnlen(name, TP_ATTR_NAME_MAX + 1);

    if (len > TP_ATTR_NAME_MAX || type == TP_ENTRY_SYMLINK)
        return false;
    if (strncmp(name, "user.", 5) == 0)
        return len > 5;
    return strcmp(name, "system.posix_acl_access") == 0 ||
           (type == TP_ENTRY_DIR && strcmp(name, "system.posix_acl_default") == 0);
}

/* Check the owner of attribute I: a file or a directory, and not a second name of a file. */
static int check_owner(const struct tp_index *x, uint32_t i, struct tp_error *err)
{
    const struct tp_attr *a = &x->attrs[i];
    const struct tp_pack_file *f = a->file < x->file_n ? &x->files[a->file] : NULL;

    if ((!f && a->file != TP_NONE) || (f && f->link != TP_NONE) ||
        !tp_attr_may_be(a->name, f ? f->type : TP_ENTRY_DIR))
        return BAD(err, "attribute %" PRIu32 " is one that no pack keeps", i);
    if (i > 0 &&
        (a[-1].file > a->file || (a[-1].file == a->file && strcmp(a[-1].name, a->name) >= 0)))
        return BAD(err, "attribute %" PRIu32 " is out of order or there twice", i);
    return 0;
}

/* Attributes of one owner are consecutive. */
static void assign_to_owner(struct tp_index *x, uint32_t i)
{
    uint32_t file = x->attrs[i].file;
    uint32_t *first = file == TP_NONE ? &x->root_attr_first : &x->files[file].attr_first;
    uint32_t *n = file == TP_NONE ? &x->root_attr_n : &x->files[file].attr_n;

    if ((*n)++ == 0)
        *first = i;
}

int tp_attrs_decode(const uint8_t *records, struct tp_index *x, uint64_t *strings_left,
                    struct tp_error *err)
{
    uint64_t off = 0;

    if (x->values_len > TP_ATTR_VALUES_MAX)
        return BAD(err, "%" PRIu32 " bytes of attributes", x->values_len);
    for (uint32_t i = 0; i < x->attr_n; i++) {
        const uint8_t *in = records + (size_t)i * TP_ATTR_RECORD_LEN;
        struct tp_attr *a = &x->attrs[i];
        uint32_t name = tp_get_le32(in + 4);
        size_t len;
        int rc;

        a->file = tp_get_le32(in);
        a->len = tp_get_le32(in + 12);
        if (name >= x->strings_len || tp_get_le32(in + 8) != off || a->len > TP_ATTR_VALUE_MAX ||
            a->len > x->values_len - off)
            return BAD(err, "a field of attribute %" PRIu32 " is out of range", i);
        a->name = x->strings + name;
        len = strnlen(a->name, TP_ATTR_NAME_MAX + 1);
        if (len > *strings_left)
            return BAD(err, "its records refer to more strings than it may have");
        *strings_left -= len;
        a->value = x->values + off;
        off += a->len;
        rc = check_owner(x, i, err);
        if (rc < 0)
            return rc;
        if (strncmp(a->name, "user.", 5) != 0 && !tp_acl_is_valid(a->value, a->len))
            return BAD(err, "attribute %" PRIu32 " is no access list", i);
        assign_to_owner(x, i);
    }
    return off == x->values_len
               ? 0
               : BAD(err, "its attributes do not add up to their %" PRIu32 " bytes", x->values_len);
}

void tp_attr_encode(const struct tp_attr *attr, uint32_t name, uint32_t value, uint8_t *out)
{
    tp_put_le32(out, attr->file);
    tp_put_le32(out + 4, name);
    tp_put_le32(out + 8, value);
    tp_put_le32(out + 12, attr->len);
}
