/* SPDX-License-Identifier: MIT */
/* Reading the table of mounts and following mounts. */
#include <config.h>

#include "fs/mountinfo.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "fs/kernel.h"

/* Maximum of places that are followed. */
enum { PLACES_MAX = 4096 };

/* --- Reading ------------------------------------------------------------------------------- */

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. */
static char *unescape_octal(char *text)
{
    char *to = text;

    for (const char *from = text; *from;) {
        if (from[0] == '\\' && from[1] && from[2] && from[3]) {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
    return text;
}

/*
 * ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS. False when it has
 * another form.
 */
static bool parse_row(char *line, struct tp_mount_row *out)
{
    char *fields[6], *rest = line;
    unsigned high, low;

    line[strcspn(line, "\n")] = 0;
    for (unsigned i = 0; i < 6; i++)
        fields[i] = strsep(&rest, " ");
    char *dash = rest ? rest[0] == '-' && rest[1] == ' ' ? rest : strstr(rest, " - ") : NULL;
    if (!dash || sscanf(fields[2], "%u:%u", &high, &low) != 2)
        return false;
    rest = strchr(dash, '-') + 2;
    out->line = line;
    out->id = (unsigned)strtoul(fields[0], NULL, 10);
    out->parent = (unsigned)strtoul(fields[1], NULL, 10);
    out->dev = makedev(high, low);
    out->root = unescape_octal(fields[3]);
    out->point = unescape_octal(fields[4]);
    out->type = strsep(&rest, " ");
    char *source = strsep(&rest, " ");
    out->source = source ? unescape_octal(source) : "";
    out->options = rest ? rest : "";
    return true;
}

static int add_line(struct tp_mount_table *table, char *line)
{
    if (table->n == table->cap) {
        size_t cap = table->cap ? 2 * table->cap : 64;
        struct tp_mount_row *rows = realloc(table->rows, cap * sizeof *rows);
        if (!rows)
            return -ENOMEM;
        table->rows = rows;
        table->cap = cap;
    }
    if (!parse_row(line, &table->rows[table->n]))
        return -EIO;
    table->n++;
    return 0;
}

int tp_mount_table_read(struct tp_mount_table *out)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    int rc = 0;

    *out = (struct tp_mount_table){0};
    if (!file)
        return -errno;
    while (rc == 0) {
        char *line = NULL;
        size_t cap = 0;
        if (getline(&line, &cap, file) <= 0) {
            free(line);
            break;
        }
        rc = add_line(out, line);
        if (rc < 0)
            free(line);
    }
    fclose(file);
    if (rc < 0)
        tp_mount_table_clear(out);
    return rc;
}

void tp_mount_table_clear(struct tp_mount_table *table)
{
    for (size_t i = 0; i < table->n; i++)
        free(table->rows[i].line);
    free(table->rows);
    *table = (struct tp_mount_table){0};
}

static const struct tp_mount_row *by_id(const struct tp_mount_table *table, unsigned id)
{
    for (size_t i = 0; i < table->n; i++)
        if (table->rows[i].id == id)
            return &table->rows[i];
    return NULL;
}

const struct tp_mount_row *tp_mount_of(const struct tp_mount_table *table, int fd)
{
    char path[40], line[256];
    unsigned id = 0;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    while (fgets(line, sizeof line, file) && sscanf(line, "mnt_id: %u", &id) != 1)
        ;
    fclose(file);
    return by_id(table, id);
}

/* --- Places -------------------------------------------------------------------------------- */

struct place {
    dev_t dev;
    char *path; /* within the file system */
    const struct tp_mount_row *via;
};

/* Places that one place shows, each found from another. */
struct places {
    const struct tp_mount_table *table;
    struct place *places;
    size_t n, cap;
};

bool tp_path_is_within(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    if (strcmp(dir, "/") == 0)
        return true;
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == 0);
}

/* ROOT plus the part of PATH below POINT; NULL: out of memory, or PATH is not below POINT. */
static char *move_path(const char *root, const char *path, const char *point)
{
    const char *below = path + (strcmp(point, "/") == 0 ? 0 : strlen(point));
    char *out;

    if (!tp_path_is_within(path, point))
        return NULL;
    below += strspn(below, "/");
    if (asprintf(&out, "%s%s%s", strcmp(root, "/") == 0 ? "" : root,
                 *below || strcmp(root, "/") == 0 ? "/" : "", below) < 0)
        return NULL;
    return out;
}

static bool is_in(const struct place *place, dev_t dev, const char *path)
{
    return place->dev == dev && tp_path_is_within(path, place->path);
}

/* Takes ownership of PATH, which may be NULL. */
static int add_place(struct places *list, dev_t dev, char *path, const struct tp_mount_row *via)
{
    if (!path)
        return -ENOMEM;
    for (size_t i = 0; i < list->n; i++)
        if (is_in(&list->places[i], dev, path)) {
            free(path);
            return 0;
        }
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        struct place *places =
            list->n < PLACES_MAX ? realloc(list->places, cap * sizeof *places) : NULL;
        if (!places) {
            free(path);
            return list->n < PLACES_MAX ? -ENOMEM : -EXDEV;
        }
        list->places = places;
        list->cap = cap;
    }
    list->places[list->n++] = (struct place){dev, path, via};
    return 0;
}

static void clear_places(struct places *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->places[i].path);
    free(list->places);
}

/* The uppermost mount that contains PATH. */
static const struct tp_mount_row *mount_of_path(const struct tp_mount_table *table,
                                                const char *path)
{
    const struct tp_mount_row *best = NULL;

    for (size_t i = 0; i < table->n; i++)
        if (tp_path_is_within(path, table->rows[i].point) &&
            (!best || strlen(table->rows[i].point) >= strlen(best->point)))
            best = &table->rows[i];
    return best;
}

/* Add the place WITHIN in a file system that shows the directory PATH. */
static int add_layer(struct places *list, const char *path, const char *within,
                     const struct tp_mount_row *via)
{
    const struct tp_mount_row *row = *path == '/' ? mount_of_path(list->table, path) : NULL;
    tp_autofree char *layer = row ? move_path(row->root, path, row->point) : NULL;

    if (!row)
        return 0;

    return layer ? add_place(list, row->dev, move_path(layer, within, "/"), via) : -ENOMEM;
}

/* Add the directories of an overlay: KEY=DIR, with colons between several. */
static int add_layers(struct places *list, const struct tp_mount_row *row, const char *within)
{
    static const char *const keys[] = {"lowerdir=", "lowerdir+=", "datadir+=", "upperdir="};
    char *options = strdup(row->options), *rest = options, *option;
    int rc = options ? 0 : -ENOMEM;

    while (rc == 0 && (option = strsep(&rest, ",")))
        for (size_t i = 0; rc == 0 && i < sizeof keys / sizeof *keys; i++) {
            char *dirs = option + strlen(keys[i]), *dir;
            if (strncmp(option, keys[i], strlen(keys[i])) != 0)
                continue;
            while (rc == 0 && (dir = strsep(&dirs, ":")))
                rc = add_layer(list, unescape_octal(dir), within, row);
        }
    free(options);
    return rc;
}

static bool is_ours(const struct tp_mount_row *row)
{
    return strcmp(row->type, TP_FS_TYPE) == 0;
}

/* Add places that a place shows but that are elsewhere. */
static int follow_place(struct places *list, size_t at)
{
    const struct tp_mount_table *table = list->table;
    char within[PATH_MAX];
    int rc = 0;

    if (snprintf(within, sizeof within, "%s", list->places[at].path) >= (int)sizeof within)
        return -EXDEV;
    struct place place = {list->places[at].dev, within, list->places[at].via};
    for (size_t i = 0; rc == 0 && i < table->n; i++) {
        const struct tp_mount_row *row = &table->rows[i], *parent = by_id(table, row->parent);
        if (row->dev == place.dev && is_ours(row))
            rc = add_layer(list, row->source, within, place.via ? place.via : row);
        else if (row->dev == place.dev && strcmp(row->type, "overlay") == 0)
            rc = add_layers(list, row, within);
        if (rc < 0 || !parent || parent == row || parent->dev != place.dev)
            continue;
        tp_autofree char *point = move_path(parent->root, row->point, parent->point);
        if (point && is_in(&place, parent->dev, point)) {
            char *root = strdup(row->root);
            rc = add_place(list, row->dev, root, place.via ? place.via : row);
        }
    }
    return rc;
}

/* Find the place of the directory open as FD at PATH. */
static int find_place(const struct tp_mount_table *table, int fd, const char *path,
                      struct place *out)
{
    const struct tp_mount_row *row = tp_mount_of(table, fd);

    /* A later mount over it hides it at this path. */
    if (!row || !tp_path_is_within(path, row->point))
        row = mount_of_path(table, path);
    *out = (struct place){.path = row ? move_path(row->root, path, row->point) : NULL};
    if (!out->path)
        return -ENOMEM;
    out->dev = row->dev;
    return 0;
}

int tp_mount_covers(const struct tp_mount_table *table, int point_fd, const char *point, int fd,
                    const char *path, bool *covers)
{
    struct place dir = {0}, target = {0};
    int rc = find_place(table, point_fd, point, &target);

    if (rc == 0)
        rc = find_place(table, fd, path, &dir);
    *covers = rc == 0 && is_in(&target, dir.dev, dir.path);
    free(dir.path);
    free(target.path);
    return rc;
}

int tp_mounts_show(const struct tp_mount_table *table, int fd, const char *path, int point_fd,
                   const char *point, bool *shows, const struct tp_mount_row **via)
{
    struct places list = {.table = table};
    struct place dir = {0}, target = {0};
    int rc = find_place(table, point_fd, point, &target);

    *shows = false;
    if (rc == 0)
        rc = find_place(table, fd, path, &dir);
    if (rc == 0)
        rc = add_place(&list, dir.dev, dir.path, NULL);
    for (size_t i = 0; rc == 0 && i < list.n && !*shows; i++) {
        *shows = is_in(&list.places[i], target.dev, target.path);
        *via = list.places[i].via;
        if (!*shows)
            rc = follow_place(&list, i);
    }
    clear_places(&list);
    free(target.path);
    return rc;
}

int tp_mount_reaches(const struct tp_mount_table *table, const struct tp_mount_row *row, dev_t dev,
                     bool *reaches)
{
    struct places list = {.table = table};
    int rc = 0;

    *reaches = row->dev == dev;
    if (*reaches || (!is_ours(row) && strcmp(row->type, "overlay") != 0))
        return 0;
    rc = add_place(&list, row->dev, strdup("/"), NULL);
    for (size_t i = 0; rc == 0 && i < list.n && !*reaches; i++) {
        *reaches = list.places[i].dev == dev;
        if (!*reaches)
            rc = follow_place(&list, i);
    }
    clear_places(&list);
    return rc;
}
