/* SPDX-License-Identifier: MIT */
/* POSIX access lists, as the kernel gives them in system.posix_acl_access. */
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
 * What of MODE grants nobody more than MODE with this list does, where the list does not count:
 * group and others keep what the list grants its group and everybody whom it names. What is no list
 * leaves the owner's bits alone.
 */
uint32_t tp_acl_tighten(uint32_t mode, const void *list, size_t len);

#endif
