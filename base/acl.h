/* SPDX-License-Identifier: MIT */
/* POSIX access lists, as the kernel has them in system.posix_acl_access. */
#ifndef TP_BASE_ACL_H
#define TP_BASE_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TP_ACL_ACCESS "system.posix_acl_access"
#define TP_ACL_DEFAULT "system.posix_acl_default"

/* Whether these bytes are a list: entries of known kinds, in their order. */
bool tp_acl_is_valid(const void *list, size_t len);

/*
 * The bits of MODE that grant nobody more than MODE with this list does, where lists are not
 * enforced: group and others keep what the list grants its group and everyone that it names. Bytes
 * that are not a list leave the owner's bits only.
 */
uint32_t tp_acl_tighten(uint32_t mode, const void *list, size_t len);

#endif
