/* SPDX-License-Identifier: MIT */
/* Planning a pack: files and segments of a model directory, and the tensors that predict them. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/vector.h"
#include "codec/convert.h"
#include "store/match/siblings.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/write/plan.h"

struct planner {
    struct tp_plan *plan;
    struct tp_model *base; /* NULL: no base */
    struct tp_pairs pairs;
    struct tp_pairs siblings; /* those that the plan found itself */
    const struct tp_pack_options *options;
    int rootfd;
    bool delta_fits[TP_DTYPE_COUNT]; /* whether a codec can use a base for this dtype */
    struct tp_error *err;
};

/* Add a segment to FILE after those it has. The caller sets what differs from these defaults. */
static struct tp_segment *add_segment(struct planner *p, uint32_t file, enum tp_dtype dtype,
                                      uint64_t len)
{
    struct tp_index *x = &p->plan->index;
    struct tp_segment *s;

    if (TP_VECTOR_GROW(x->segments, x->segment_n, p->plan->segment_cap) < 0)
        return NULL;
    s = &x->segments[x->segment_n];
    memset(s, 0, sizeof *s);
    s->file = file;
    s->dtype = dtype;
    s->len = len;
    if (x->files[file].segment_n)
        s->file_off = s[-1].file_off + s[-1].len;
    s->name = "";
    x->segment_n++;
    x->files[file].segment_n++;
    return s;
}

/* Add N elements of tensor T from element FIRST on, with the bytes that predict them. */
static int add_piece(struct planner *p, uint32_t file, const struct tp_model_tensor *t,
                     uint64_t first, uint64_t n, struct tp_predictor from)
{
    uint64_t bits = tp_dtype_bits(t->dtype);
    struct tp_segment *s = add_segment(p, file, t->dtype, n / 8 * bits + n % 8 * bits / 8);

    if (!s)
        return tp_oom(p->err);
    s->name = t->name;
    s->shape = t->shape;
    s->rank = t->rank;
    p->plan->index.dim_n += t->rank;
    s->elem_first = first;
    s->from = from;
    return 0;
}

/* The tensor that PAIRS have for tensor T of the model. */
static const struct tp_model_tensor *paired_tensor(const struct planner *p,
                                                   const struct tp_pairs *pairs,
                                                   const struct tp_model_tensor *t)
{
    return pairs->of && p->delta_fits[t->dtype] ? pairs->of[t - p->plan->model->tensors] : NULL;
}

/*
 * The file that SIBLING names, if LEN bytes of it can predict a tensor of FILE; otherwise TP_NONE.
 */
static uint32_t find_sibling(const struct planner *p, uint32_t file,
                             const struct tp_sibling *sibling, uint64_t len)
{
    const struct tp_index *x = &p->plan->index;
    const struct tp_pack_file *f = tp_index_find(x, sibling->path);

    if (!f || f >= &x->files[file] || f->type != TP_ENTRY_FILE || f->link != TP_NONE ||
        f->chained || x->files[file].predicts || !tp_range_within(sibling->off, len, f->size))
        return TP_NONE;
    return (uint32_t)(f - x->files);
}

/*
 * Whether another file of the model predicts T of FILE, according to the caller or to the siblings
 * that were found.
 */
static bool has_sibling(const struct planner *p, uint32_t file, const struct tp_model_tensor *t,
                        struct tp_sibling *out)
{
    const struct tp_model_tensor *b = paired_tensor(p, &p->siblings, t);

    if (p->options->sibling)
        return p->delta_fits[t->dtype] && t->len &&
               p->options->sibling(p->options->sibling_arg, p->plan->index.files[file].path, t,
                                   out);
    if (!b)
        return false;
    *out = (struct tp_sibling){
        .path = p->plan->model->files[b->file].path, .off = b->off, .dtype = b->dtype};
    return true;
}

/*
 * Add a tensor of FILE that another file of the model predicts. It is cut at the same places, so
 * that chunks match chunks.
 */
static int add_predicted(struct planner *p, uint32_t file, const struct tp_model_tensor *t,
                         const struct tp_sibling *sibling)
{
    struct tp_index *x = &p->plan->index;
    const struct tp_segment like = {.dtype = t->dtype, .len = t->len, .from.dtype = sibling->dtype};
    uint64_t bits = tp_dtype_bits(sibling->dtype), n = t->len * 8 / tp_dtype_bits(t->dtype),
             done = 0;
    uint32_t from = TP_NONE;
    int rc = 0;

    if (tp_convert_possible(sibling->dtype, t->dtype) && sibling->dtype != TP_DTYPE_BYTES)
        from = find_sibling(p, file, sibling, tp_segment_predictor_len(&like));
    if (from == TP_NONE && !p->options->sibling)
        return tp_fail(p->err, EBUSY, "'%s/%s' changed while it was packed", p->plan->root,
                       sibling->path);
    if (from == TP_NONE)
        return tp_fail(p->err, EINVAL, "'%s' of '%s' cannot be predicted by '%s'", t->name,
                       x->files[file].path, sibling->path);
    x->siblings = x->files[file].chained = x->files[from].predicts = true;
    while (rc == 0 && done < n) {
        uint64_t off = sibling->off + done * bits / 8;
        uint32_t at = tp_index_segment_at(x, &x->files[from], off);
        uint64_t left = x->segments[at].file_off + x->segments[at].len - off,
                 have = left * 8 / bits;

        if (have > n - done || bits < 8 || left % (bits / 8) != 0)
            have = n - done;
        rc = add_piece(p, file, t, done, have,
                       (struct tp_predictor){.whence = TP_FROM_PACK,
                                             .dtype = sibling->dtype,
                                             .file = from,
                                             .off = off,
                                             .segment = at});
        done += have;
    }
    return rc;
}

/* Add a tensor: a piece for each segment of the base's tensor, and one for the rest. */
static int add_tensor(struct planner *p, uint32_t file, const struct tp_model_tensor *t)
{
    const struct tp_index *base = p->base ? tp_pack_index(p->plan->base) : NULL;
    uint64_t n = t->len * 8 / tp_dtype_bits(t->dtype), done = 0, off;
    const struct tp_model_tensor *b;
    struct tp_sibling sibling;
    uint32_t base_file;
    int rc = 0;

    if (has_sibling(p, file, t, &sibling))
        return add_predicted(p, file, t, &sibling);
    b = paired_tensor(p, &p->pairs, t);
    off = b ? b->off : 0;
    base_file = b ? p->base->files[b->file].entry : 0;
    while (rc == 0 && b && done < n && off < b->off + b->len) {
        uint32_t segment = tp_index_segment_at(base, &base->files[base_file], off);
        const struct tp_segment *s = &base->segments[segment];
        uint64_t have = s->len * 8 / tp_dtype_bits(s->dtype);

        /*
         * With elements smaller than a byte, only one segment is used: the next one may begin
         * within a byte.
         */
        if (have == 0 || s->dtype != b->dtype || s->file_off != off ||
            (done > 0 && tp_dtype_bits(t->dtype) < 8))
            break;
        if (have > n - done)
            have = n - done;
        rc = add_piece(p, file, t, done, have,
                       (struct tp_predictor){.whence = TP_FROM_BASE,
                                             .dtype = s->dtype,
                                             .file = base_file,
                                             .off = off,
                                             .segment = segment});
        done += have;
        off += s->len;
    }
    if (rc == 0 && (done < n || n == 0))
        rc = add_piece(p, file, t, done, n - done, (struct tp_predictor){0});
    return rc;
}

/* Add the segments of FILE. A file that is not valid safetensors is one segment of plain bytes. */
static int cut_file(struct planner *p, uint32_t file)
{
    const struct tp_model *model = p->plan->model;
    uint32_t number = p->plan->model_file[file];
    const struct tp_model_file *f = &model->files[number];
    uint64_t opaque = tp_model_opaque(model, number);
    int rc = 0;

    if (f->problem)
        tp_log(TP_LOG_WARNING, "'%s/%s' is kept as plain bytes: %s", p->plan->root, f->path,
               f->problem);
    if (opaque)
        rc = add_segment(p, file, TP_DTYPE_BYTES, opaque) ? 0 : tp_oom(p->err);
    for (size_t i = 0; rc == 0 && i < f->tensor_n; i++)
        rc = add_tensor(p, file, model->by_place[f->tensor_first + i]);
    return rc;
}

/* Add the attributes of an entry and, for a file, its segments. */
static int plan_entry(struct planner *p, uint32_t i)
{
    struct tp_plan *plan = p->plan;
    struct tp_pack_file *f = &plan->index.files[i];
    int fd, rc;

    f->segment_first = plan->index.segment_n;
    if (f->type == TP_ENTRY_SYMLINK || f->link != TP_NONE)
        return 0;
    fd = tp_modeldir_open(tp_model_dir(plan->model), p->rootfd, f->path);
    if (fd < 0)
        return tp_fail_errno(p->err, "cannot open '%s/%s'", plan->root, f->path);
    f->attr_first = plan->attrs.n;
    rc = tp_attrs_read(fd, f->path, i, &plan->attrs, &plan->lost, p->err);
    f->attr_n = plan->attrs.n - f->attr_first;
    if (rc == 0 && f->type == TP_ENTRY_FILE)
        rc = cut_file(p, i);
    close(fd);
    return rc;
}

/* Plan all entries, and the attributes of the model directory itself, which come last. */
static int plan_entries(struct planner *p)
{
    struct tp_plan *plan = p->plan;
    struct tp_index *x = &plan->index;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < x->file_n; i++)
        rc = plan_entry(p, i);
    x->root_attr_first = plan->attrs.n;
    if (rc == 0)
        rc = tp_attrs_read(p->rootfd, plan->root, TP_NONE, &plan->attrs, &plan->lost, p->err);
    x->root_attr_n = plan->attrs.n - x->root_attr_first;
    x->attrs = plan->attrs.list;
    x->attr_n = plan->attrs.n;
    x->values_len = (uint32_t)plan->attrs.bytes;
    return rc;
}

/* List the entries, in the order of the index. */
static int list_files(struct planner *p)
{
    struct tp_plan *plan = p->plan;
    const struct tp_modeldir *dir = tp_model_dir(plan->model);
    struct tp_index *x = &plan->index;

    x->file_n = (uint32_t)dir->entry_n;
    x->files = calloc(x->file_n + 1u, sizeof *x->files);
    plan->model_file = calloc(x->file_n + 1u, sizeof *plan->model_file);
    if (!x->files || !plan->model_file)
        return tp_oom(p->err);
    memset(plan->model_file, 0xff, x->file_n * sizeof *plan->model_file);
    for (uint32_t i = 0; i < plan->model->file_n; i++)
        plan->model_file[plan->model->files[i].entry] = i;
    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_entry *e = &dir->entries[i];
        struct tp_pack_file *f = &x->files[i];

        if (strlen(e->path) > TP_PATH_BYTES_MAX)
            return tp_fail(p->err, ENAMETOOLONG, "'%s' has a path of more than %u bytes",
                           plan->root, TP_PATH_BYTES_MAX);
        f->path = e->path;
        f->target = e->target;
        f->type = e->type;
        f->mode = e->mode;
        f->mtime_sec = e->mtime_sec;
        f->mtime_nsec = e->mtime_nsec;
        f->size = e->size;
        plan->lost.owners += e->uid != dir->root_uid || e->gid != dir->root_gid;
        f->link = e->link == TP_NO_ENTRY ? TP_NONE : (uint32_t)e->link;
        if (f->link != TP_NONE) {
            f->size = 0;
            continue;
        }
        f->sparse = e->sparse;
        if (f->type == TP_ENTRY_FILE && f->size == 0)
            tp_sha256("", 0, f->sha256);
    }
    x->logical_bytes = dir->total_bytes;
    x->root_mode = dir->root_mode;
    x->root_mtime_sec = dir->root_mtime_sec;
    x->root_mtime_nsec = dir->root_mtime_nsec;
    return 0;
}

/* Number the chunks, when all segments are known. */
static int number_chunks(struct planner *p)
{
    struct tp_index *x = &p->plan->index;
    uint64_t chunks = 0;
    uint32_t s;

    for (s = 0; s < x->segment_n; s++) {
        struct tp_segment *seg = &x->segments[s];

        seg->chunk_first = (uint32_t)chunks;
        chunks += seg->len / x->chunk_size + (seg->len % x->chunk_size != 0);
        if (chunks >= TP_INDEX_MAX / TP_CHUNK_RECORD_LEN)
            return tp_fail(p->err, EFBIG, "'%s' is too large for one pack", p->plan->root);
        seg->chunk_n = (uint32_t)chunks - seg->chunk_first;
    }
    x->chunk_n = (uint32_t)chunks;
    x->chunks = calloc(chunks + 1, sizeof *x->chunks);
    x->tables = calloc((size_t)x->segment_n * TP_CODEC_COUNT + 1, sizeof *x->tables);
    if (!x->chunks || !x->tables)
        return tp_oom(p->err);
    for (s = 0; s < x->segment_n; s++)
        for (uint32_t c = 0; c < x->segments[s].chunk_n; c++)
            x->chunks[x->segments[s].chunk_first + c].segment = s;
    return 0;
}

static void find_fitting(struct planner *p)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        for (unsigned t = 0; codec && codec->needs_base && t < TP_DTYPE_COUNT; t++)
            p->delta_fits[t] |= codec->fits((enum tp_dtype)t);
    }
}

/* Whether a link at PATH in the directory with this TARGET leads out of the directory. */
static bool leads_out(const char *path, const char *target)
{
    size_t up = 0, depth = 0;

    if (target[0] == '/')
        return true;
    for (; *path; path++)
        depth += *path == '/';
    while (strncmp(target, "../", 3) == 0) {
        target += 3;
        up++;
    }
    return up > depth;
}

/*
 * Warn of a model that consists mainly of links: links are packed as links, so the pack has little
 * of their content.
 */
static void warn_of_links(const struct planner *p)
{
    const struct tp_index *x = &p->plan->index;
    uint64_t files = 0, links = 0, bytes = 0;
    struct stat st;

    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];
        bool there;

        files += f->type == TP_ENTRY_FILE;
        if (f->type != TP_ENTRY_SYMLINK)
            continue;
        there = fstatat(p->rootfd, f->path, &st, 0) == 0;
        if (there && !leads_out(f->path, f->target))
            continue;
        links++;
        if (there && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    }
    if (links > files || bytes > x->logical_bytes)
        tp_log(TP_LOG_WARNING,
               "'%s' consists mainly of links that lead out of it or nowhere (%" PRIu64
               ", beside %" PRIu64
               " file%s): the pack has none of what they lead to; --dereference packs that",
               p->plan->root, links, files, files == 1 ? "" : "s");
}

/*
 * Whether the plan searches for siblings: the caller does not, and an allowed codec can use their
 * bytes.
 */
static bool wants_siblings(const struct planner *p)
{
    const char *name = p->options->codec;
    bool wants = !name || strcmp(name, "auto") == 0;

    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        wants |= codec && codec->needs_base && name && strcmp(codec->name, name) == 0;
    }
    return wants && !p->options->sibling;
}

/* Find the tensors that predict the model's: those of the base, or of other files of the model. */
static int find_predictors(struct planner *p)
{
    struct tp_model *model = p->plan->model;
    int rc = 0;

    if (p->plan->base)
        rc = tp_model_open_pack(p->plan->base, NULL, &p->base, p->err);
    if (rc == 0 && p->base)
        rc = tp_pairs_find(model, p->base, &p->pairs, p->err);
    if (rc == 0 && wants_siblings(p))
        rc = tp_siblings_find(model, p->base, &p->pairs, &p->siblings, p->err);
    return rc;
}

static int plan_all(struct planner *p)
{
    struct tp_plan *plan = p->plan;
    const struct tp_model_options options = {.links = p->options->links};
    int rc = tp_model_open(plan->root, &options, &plan->model, p->err);

    if (rc == 0 && !tp_model_dir(plan->model))
        rc = tp_fail(p->err, ENOTDIR, "'%s' is not a directory", plan->root);
    if (rc == 0)
        rc = list_files(p);
    if (rc == 0)
        rc = find_predictors(p);
    if (rc < 0)
        return rc;
    p->rootfd = open(plan->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->rootfd < 0)
        return tp_fail_errno(p->err, "cannot open '%s'", plan->root);
    warn_of_links(p);
    rc = plan_entries(p);
    return rc == 0 ? number_chunks(p) : rc;
}

int tp_plan_make(const char *dir, const struct tp_pack_options *options, struct tp_plan *out,
                 struct tp_error *err)
{
    struct planner p = {.plan = out, .options = options, .rootfd = -1, .err = err};
    int rc;

    memset(out, 0, sizeof *out);
    out->base = options->base;
    out->index.chunk_size = TP_CHUNK_MAX;
    out->index.has_base = options->base != NULL;
    out->index.base_name = options->base_name ? options->base_name : "";
    out->index.writer = PACKAGE_NAME " " PACKAGE_VERSION;
    out->index.version = TP_PACK_VERSION;
    if (options->base) {
        memcpy(out->index.base_id, tp_pack_get_id(options->base), TP_SHA256_LEN);
        memcpy(out->index.base_content_id, tp_pack_content_id(options->base), TP_SHA256_LEN);
    }
    if (strlen(out->index.base_name) > TP_PATH_BYTES_MAX)
        return tp_fail(err, ENAMETOOLONG, "the base's name has more than %u bytes",
                       TP_PATH_BYTES_MAX);
    find_fitting(&p);
    out->root = strdup(dir);
    rc = out->root ? plan_all(&p) : tp_oom(err);
    tp_pairs_clear(&p.pairs);
    tp_pairs_clear(&p.siblings);
    tp_model_close(p.base);
    if (p.rootfd >= 0)
        close(p.rootfd);
    if (rc < 0)
        tp_plan_clear(out);
    return rc;
}

void tp_plan_clear(struct tp_plan *plan)
{
    plan->index.attrs = NULL;
    tp_index_clear(&plan->index);
    tp_attrs_clear(&plan->attrs);
    tp_model_close(plan->model);
    free(plan->model_file);
    free(plan->root);
    memset(plan, 0, sizeof *plan);
}
