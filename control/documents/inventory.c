/* SPDX-License-Identifier: MIT */
/* The models of a directory. Each is read again only when it has changed. */
#include <config.h>

#include "base/cleanup.h"
#include "control/documents/inventory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tp_inventory_create(struct tp_store *store, struct tp_jobs *jobs, struct tp_inventory **out,
                        struct tp_error *err)
{
    struct tp_inventory *inventory = calloc(1, sizeof *inventory);

    *out = NULL;
    if (!inventory)
        return tp_oom(err);
    inventory->store = store;
    inventory->jobs = jobs;
    inventory->dirfd = open(tp_store_dir(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (inventory->dirfd < 0) {
        int rc = tp_fail_errno(err, "cannot open the directory '%s'", tp_store_dir(store));
        free(inventory);
        return rc;
    }
    pthread_mutex_init(&inventory->lock, NULL);
    *out = inventory;
    return 0;
}

static void free_entries(struct tp_inventory_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tp_plain_cache_clear(&entries[i].plain);
    free(entries);
}

void tp_inventory_destroy(struct tp_inventory *inventory)
{
    if (!inventory)
        return;
    free_entries(inventory->entries, inventory->n);
    free(inventory->notes);
    free(inventory->counted);
    close(inventory->dirfd);
    pthread_mutex_destroy(&inventory->lock);
    free(inventory);
}

/*
 * Make the entries of the present models. What is known of a model with the same name and kind is
 * kept. Both lists are in byte order.
 */
static int take_list(struct tp_inventory *inventory, const struct tp_store_model *models, size_t n)
{
    struct tp_inventory_entry *entries = calloc(n + 1, sizeof *entries);
    size_t old = 0;

    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct tp_inventory_entry *entry = &entries[i];
        while (old < inventory->n && strcmp(inventory->entries[old].row.name, models[i].name) < 0)
            tp_plain_cache_clear(&inventory->entries[old++].plain);
        if (old < inventory->n && !strcmp(inventory->entries[old].row.name, models[i].name) &&
            inventory->entries[old].row.kind == models[i].kind) {
            *entry = inventory->entries[old++];
        } else {
            snprintf(entry->row.name, sizeof entry->row.name, "%s", models[i].name);
            entry->row.kind = models[i].kind;
        }
    }
    while (old < inventory->n)
        tp_plain_cache_clear(&inventory->entries[old++].plain);
    free(inventory->entries);
    inventory->entries = entries;
    inventory->n = n;
    return 0;
}

static int read_directory(struct tp_inventory *inventory)
{
    size_t kept = 0;
    int rc = 0;

    for (size_t i = 0; i < inventory->n && rc == 0; i++) {
        struct tp_inventory_entry *entry = &inventory->entries[i];
        rc = entry->row.kind == TP_MODEL_PACK ? tp_inventory_read_pack(inventory, entry)
                                              : tp_inventory_read_plain(inventory, entry);
        if (rc == -ENOENT) {
            /* It was removed after it was listed. */
            tp_plain_cache_clear(&entry->plain);
            rc = 0;
            continue;
        }
        if (kept != i) {
            inventory->entries[kept] = *entry;
            entry->plain = (struct tp_plain_cache){0};
        }
        kept++;
    }
    if (rc == 0) {
        inventory->n = kept;
    } else {
        free_entries(inventory->entries, inventory->n);
        inventory->entries = NULL;
        inventory->n = 0;
    }
    return rc;
}

static int by_id(const void *a, const void *b)
{
    const struct tp_inventory_entry *x = *(struct tp_inventory_entry *const *)a;
    const struct tp_inventory_entry *y = *(struct tp_inventory_entry *const *)b;
    int order = memcmp(x->id, y->id, sizeof x->id);

    return order ? order : strcmp(x->row.name, y->row.name);
}

/* The pack with this id, the first by name, or NULL. */
static struct tp_inventory_entry *find_id(struct tp_inventory_entry **sorted, size_t n,
                                          const uint8_t *id)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(sorted[middle]->id, id, TP_SHA256_LEN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && !memcmp(sorted[low]->id, id, TP_SHA256_LEN) ? sorted[low] : NULL;
}

/* The base of ENTRY: by its id, otherwise a pack with the same content. */
static const struct tp_inventory_entry *find_base(struct tp_inventory_entry **sorted, size_t n,
                                                  const struct tp_inventory_entry *entry)
{
    const struct tp_inventory_entry *base = find_id(sorted, n, entry->base_id);

    for (size_t i = 0; i < n && !base; i++)
        if (sorted[i] != entry &&
            memcmp(sorted[i]->content, entry->base_content, TP_SHA256_LEN) == 0)
            base = sorted[i];
    return base;
}

static void set_absent(struct tp_inventory_row *row, const struct tp_inventory_entry *last)
{
    char id[TP_SHA256_HEX];

    tp_hex(last->base_id, TP_SHA256_LEN, id);
    snprintf(row->family, sizeof row->family, "%s", last->own_base[0] ? last->own_base : "?");
    if (!row->error[0])
        snprintf(row->error, sizeof row->error,
                 "the base '%.120s' (id %.16s) of '%.60s' is not there", row->family, id,
                 last->row.name);
}

/* Set the names of a pack's base and family, which depend on the packs that are present. */
static void set_base(struct tp_inventory_entry *entry, struct tp_inventory_entry **sorted, size_t n)
{
    struct tp_inventory_row *row = &entry->row;
    const struct tp_inventory_entry *at = entry;

    snprintf(row->error, sizeof row->error, "%s", entry->own_error);
    row->base[0] = row->family[0] = '\0';
    row->base_absent = false;
    if (!entry->identified)
        return;
    for (int depth = 0; at->has_base && depth <= TP_BASE_DEPTH_MAX; depth++) {
        const struct tp_inventory_entry *base = find_base(sorted, n, at);
        if (at == entry) {
            row->base_absent = !base;
            snprintf(row->base, sizeof row->base, "%s",
                     base                 ? base->row.name
                     : entry->own_base[0] ? entry->own_base
                                          : "?");
        }
        if (!base) {
            set_absent(row, at);
            return;
        }
        at = base;
    }
    snprintf(row->family, sizeof row->family, "%s", at->row.name);
}

static int set_bases(struct tp_inventory *inventory)
{
    tp_autofree struct tp_inventory_entry **sorted = malloc((inventory->n + 1) * sizeof *sorted);
    size_t n = 0;

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < inventory->n; i++)
        if (inventory->entries[i].identified)
            sorted[n++] = &inventory->entries[i];
    if (n > 0)
        qsort(sorted, n, sizeof(struct tp_inventory_entry *), by_id);
    for (size_t i = 0; i < inventory->n; i++)
        if (inventory->entries[i].row.kind == TP_MODEL_PACK)
            set_base(&inventory->entries[i], sorted, n);
    return 0;
}

int tp_inventory_rows(struct tp_inventory *inventory, struct tp_inventory_row **rows, size_t *n,
                      struct tp_error *err)
{
    struct tp_store_model *models = NULL;
    size_t model_n = 0;

    *rows = NULL;
    *n = 0;
    int rc = tp_store_models(inventory->store, &models, &model_n, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&inventory->lock);
    rc = take_list(inventory, models, model_n);
    if (rc == 0)
        rc = read_directory(inventory);
    if (rc == 0)
        rc = set_bases(inventory);
    if (rc == 0 && !(*rows = calloc(inventory->n + 1, sizeof **rows)))
        rc = -ENOMEM;
    if (rc == -ENOMEM)
        tp_oom(err);
    for (size_t i = 0; rc == 0 && i < inventory->n; i++)
        (*rows)[i] = inventory->entries[i].row;
    *n = rc == 0 ? inventory->n : 0;
    if (rc == 0)
        rc = tp_inventory_estimates(inventory, *rows, *n, err);
    pthread_mutex_unlock(&inventory->lock);
    tp_store_models_free(models, model_n);
    if (rc < 0) {
        free(*rows);
        *rows = NULL;
        *n = 0;
    }
    return rc;
}

/* --- Sums --- */

void tp_totals_add(struct tp_totals *totals, const struct tp_inventory_row *row)
{
    if (row->kind == TP_MODEL_PLAIN)
        totals->plain++;
    else
        totals->packs++;
    if (row->unreadable) {
        totals->unreadable++;
        totals->unreadable_bytes += row->stored_bytes;
        return;
    }
    totals->logical_bytes += row->logical_bytes;
    totals->stored_bytes += row->stored_bytes;
}

static int by_saving(const void *a, const void *b)
{
    const struct tp_family *x = a, *y = b;
    bool x_plain = !x->base[0], y_plain = !y->base[0];
    int64_t x_saved = (int64_t)(x->totals.logical_bytes - x->totals.stored_bytes);
    int64_t y_saved = (int64_t)(y->totals.logical_bytes - y->totals.stored_bytes);

    if (x_plain != y_plain)
        return x_plain - y_plain;
    if (x_saved != y_saved)
        return x_saved < y_saved ? 1 : -1;
    return strcmp(x->base, y->base);
}

static int by_family(const void *a, const void *b)
{
    const struct tp_inventory_row *x = *(const struct tp_inventory_row *const *)a;
    const struct tp_inventory_row *y = *(const struct tp_inventory_row *const *)b;
    int order = strcmp(x->family, y->family);

    return order ? order : (x > y) - (x < y);
}

int tp_families(const struct tp_inventory_row *rows, size_t n, struct tp_family **out,
                size_t *family_n)
{
    const struct tp_inventory_row **sorted = malloc((n + 1) * sizeof *sorted);
    struct tp_family *families = calloc(n + 1, sizeof *families);
    size_t used = 0;

    if (!sorted || !families) {
        free(sorted);
        free(families);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = &rows[i];
    if (n > 0)
        qsort(sorted, n, sizeof *sorted, by_family);
    for (size_t i = 0; i < n; i++) {
        if (sorted[i]->kind == TP_MODEL_PACK && !sorted[i]->family[0])
            continue; /* an unreadable pack has no family */
        if (!used || strcmp(families[used - 1].base, sorted[i]->family)) {
            families[used] = (struct tp_family){.base = sorted[i]->family, .absent = true};
            used++;
        }
        tp_totals_add(&families[used - 1].totals, sorted[i]);
        if (!sorted[i]->family[0] || !strcmp(sorted[i]->name, sorted[i]->family))
            families[used - 1].absent = false;
    }
    if (used > 1)
        qsort(families, used, sizeof *families, by_saving);
    free(sorted);
    *out = families;
    *family_n = used;
    return 0;
}
