/* SPDX-License-Identifier: MIT */
/*
 * Reading safetensors headers: JSON token by token into growing arrays, then the rules that span
 * tensors.
 */
#include <config.h>

#include "tensor/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/le.h"
#include "base/lex.h"

#define SHOWN(name) (int)(strlen(name) > 200 ? 200 : strlen(name)), (name)

/* A tensor while the arrays still grow: offsets instead of pointers. */
struct draft {
    size_t name, shape; /* byte offset into names; index into dims */
    unsigned rank;
    enum tp_dtype dtype;
    uint64_t begin, end; /* data_offsets */
};

struct parser {
    struct tp_lex lex;
    struct tp_error *err;
    uint64_t data_len;
    struct tp_buffer drafts; /* struct draft */
    struct tp_buffer names;  /* NUL-terminated, one after the other */
    struct tp_buffer dims;   /* uint64_t */
    struct tp_buffer meta;   /* size_t: offsets into names of the keys of __metadata__ */
    bool meta_seen;
};

static int fail_parse(struct parser *p, const char *what)
{
    if (p->lex.why)
        what = p->lex.why;
    return tp_fail(p->err, EBADMSG, "safetensors header at byte %zu: %s", 8 + p->lex.pos, what);
}

static int expect_token(struct parser *p, enum tp_lex_token want, const char *what)
{
    return tp_lex_next(&p->lex) == want ? 0 : fail_parse(p, what);
}

/* Append the key or string just read, unescaped, to names; *AT is where. */
static int keep_string(struct parser *p, size_t *at)
{
    size_t start = p->names.len;
    if (tp_buffer_reserve(&p->names, p->lex.text_len + 1) < 0)
        return tp_oom(p->err);
    char *to = (char *)p->names.data + start;
    size_t n = p->lex.text_len;
    if (p->lex.escaped)
        n = tp_lex_unescape(&p->lex, to);
    else
        memcpy(to, p->lex.text, n);
    if (p->lex.escaped && memchr(to, '\0', n))
        return fail_parse(p, "a name with a NUL");
    to[n] = '\0';
    p->names.len = start + n + 1;
    *at = start;
    return 0;
}

static bool text_is(const struct tp_lex *lex, const char *word)
{
    return !lex->escaped && lex->text_len == strlen(word) &&
           memcmp(lex->text, word, lex->text_len) == 0;
}

/* Skip the value of a key that is not used. */
static int skip_value(struct parser *p)
{
    unsigned depth = 0;
    do {
        switch (tp_lex_next(&p->lex)) {
        case TP_LEX_OBJECT:
        case TP_LEX_ARRAY:
            depth++;
            break;
        case TP_LEX_OBJECT_END:
        case TP_LEX_ARRAY_END:
            depth--;
            break;
        case TP_LEX_ERROR:
        case TP_LEX_END:
            return fail_parse(p, "a value is missing");
        default:
            break;
        }
    } while (depth > 0);
    return 0;
}

static int parse_metadata(struct parser *p)
{
    if (p->meta_seen)
        return fail_parse(p, "duplicate __metadata__");
    p->meta_seen = true;
    enum tp_lex_token t = tp_lex_next(&p->lex);
    if (t == TP_LEX_NULL)
        return 0;
    if (t != TP_LEX_OBJECT)
        return fail_parse(p, "__metadata__ is not an object");
    while ((t = tp_lex_next(&p->lex)) == TP_LEX_KEY) {
        size_t at;
        int rc = keep_string(p, &at);
        if (rc < 0)
            return rc;
        if (tp_buffer_append(&p->meta, &at, sizeof at) < 0)
            return tp_oom(p->err);
        rc = expect_token(p, TP_LEX_STRING, "a value of __metadata__ is not a string");
        if (rc < 0)
            return rc;
    }
    return t == TP_LEX_OBJECT_END ? 0 : fail_parse(p, "malformed __metadata__");
}

static int parse_u64(struct parser *p, const char *what, uint64_t *out)
{
    return tp_lex_u64(&p->lex, out) ? 0 : fail_parse(p, what);
}

static int parse_shape(struct parser *p, struct draft *d)
{
    int rc = expect_token(p, TP_LEX_ARRAY, "shape is not an array");
    if (rc < 0)
        return rc;
    d->shape = p->dims.len / sizeof(uint64_t);
    d->rank = 0;
    enum tp_lex_token t;
    while ((t = tp_lex_next(&p->lex)) == TP_LEX_NUMBER) {
        uint64_t dim = 0;
        rc = parse_u64(p, "a dimension is not an unsigned 64-bit integer", &dim);
        if (rc < 0)
            return rc;
        if (d->rank == TP_TENSOR_RANK_MAX)
            return fail_parse(p, "too many dimensions");
        d->rank++;
        if (tp_buffer_append(&p->dims, &dim, sizeof dim) < 0)
            return tp_oom(p->err);
    }
    return t == TP_LEX_ARRAY_END ? 0 : fail_parse(p, "a dimension is not a number");
}

static int parse_offsets(struct parser *p, struct draft *d)
{
    static const char malformed[] = "data_offsets are not two unsigned 64-bit integers";
    uint64_t *const ends[2] = {&d->begin, &d->end};
    int rc = expect_token(p, TP_LEX_ARRAY, malformed);
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = expect_token(p, TP_LEX_NUMBER, malformed);
        if (rc == 0)
            rc = parse_u64(p, malformed, ends[i]);
    }
    return rc < 0 ? rc : expect_token(p, TP_LEX_ARRAY_END, malformed);
}

static int parse_dtype(struct parser *p, struct draft *d)
{
    int rc = expect_token(p, TP_LEX_STRING, "dtype is not a string");
    if (rc < 0)
        return rc;
    if (p->lex.escaped || !tp_dtype_find((const char *)p->lex.text, p->lex.text_len, &d->dtype))
        return tp_fail(p->err, EBADMSG, "safetensors header at byte %zu: unknown dtype '%.*s'",
                       8 + p->lex.pos, (int)(p->lex.text_len > 40 ? 40 : p->lex.text_len),
                       (const char *)p->lex.text);
    return 0;
}

static int parse_tensor(struct parser *p)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    struct draft d = {0};
    unsigned seen = 0, field;
    int rc = keep_string(p, &d.name);
    if (rc == 0 && p->names.len - d.name - 1 > TP_TENSOR_NAME_MAX)
        rc = fail_parse(p, "a tensor's name is too long");
    if (rc == 0)
        rc = expect_token(p, TP_LEX_OBJECT, "a tensor is not an object");
    if (rc < 0)
        return rc;

    enum tp_lex_token t;
    while ((t = tp_lex_next(&p->lex)) == TP_LEX_KEY) {
        field = text_is(&p->lex, "dtype")          ? DTYPE
                : text_is(&p->lex, "shape")        ? SHAPE
                : text_is(&p->lex, "data_offsets") ? OFFSETS
                                                   : 0;
        if (seen & field)
            return fail_parse(p, "duplicate field of a tensor");
        seen |= field;
        rc = field == DTYPE     ? parse_dtype(p, &d)
             : field == SHAPE   ? parse_shape(p, &d)
             : field == OFFSETS ? parse_offsets(p, &d)
                                : skip_value(p);
        if (rc < 0)
            return rc;
    }
    if (t != TP_LEX_OBJECT_END)
        return fail_parse(p, "malformed tensor");
    if (seen != ALL)
        return fail_parse(p, "a tensor lacks dtype, shape or data_offsets");
    return tp_buffer_append(&p->drafts, &d, sizeof d) < 0 ? tp_oom(p->err) : 0;
}

static int parse_header(struct parser *p)
{
    /* The format wants '{' as the very first byte. */
    if (p->lex.len == 0 || p->lex.data[0] != '{')
        return fail_parse(p, "it does not begin with '{'");
    int rc = expect_token(p, TP_LEX_OBJECT, "no object");
    enum tp_lex_token t = TP_LEX_KEY;
    while (rc == 0 && (t = tp_lex_next(&p->lex)) == TP_LEX_KEY)
        rc = text_is(&p->lex, "__metadata__") ? parse_metadata(p) : parse_tensor(p);
    if (rc < 0)
        return rc;
    if (t != TP_LEX_OBJECT_END)
        return fail_parse(p, "malformed header");
    return expect_token(p, TP_LEX_END, "something follows the header");
}

/*
 * Bytes of a tensor by its shape and dtype; multiplications in the order of the reference
 * implementation.
 */
static int measure_tensor(const struct tp_tensor *t, uint64_t *out, struct tp_error *err)
{
    uint64_t n = 1, bits;
    for (unsigned i = 0; i < t->rank; i++) {
        if (!tp_mul_u64(n, t->shape[i], &n))
            return tp_fail(err, EBADMSG, "tensor '%.*s': its shape overflows", SHOWN(t->name));
    }
    if (!tp_mul_u64(n, tp_dtype_bits(t->dtype), &bits))
        return tp_fail(err, EBADMSG, "tensor '%.*s': its size overflows", SHOWN(t->name));
    if (bits % 8)
        return tp_fail(err, EBADMSG,
                       "tensor '%.*s': %" PRIu64 " bits are not a whole number of bytes",
                       SHOWN(t->name), bits);
    *out = bits / 8;
    return 0;
}

/* By begin, then by end (empty tensors first), then by name: one order for one set of tensors. */
static int by_offset(const void *a, const void *b)
{
    const struct tp_tensor *x = a, *y = b;
    if (x->off != y->off)
        return x->off < y->off ? -1 : 1;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_string(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static int check_unique(const char **names, size_t n, const char *what, struct tp_error *err)
{
    qsort(names, n, sizeof *names, by_string);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            return tp_fail(err, EBADMSG, "duplicate %s '%.*s'", what, SHOWN(names[i]));
    }
    return 0;
}

static int check_names(const struct parser *p, const struct tp_safetensors *st)
{
    size_t meta_n = p->meta.len / sizeof(size_t);
    size_t n = st->tensor_n > meta_n ? st->tensor_n : meta_n;
    if (n < 2)
        return 0;
    tp_autofree const char **names = malloc(n * sizeof *names);
    if (!names)
        return tp_oom(p->err);
    for (size_t i = 0; i < st->tensor_n; i++)
        names[i] = st->tensors[i].name;
    int rc = check_unique(names, st->tensor_n, "tensor", p->err);
    if (rc == 0) {
        const size_t *at = (const size_t *)(const void *)p->meta.data;
        for (size_t i = 0; i < meta_n; i++)
            names[i] = (const char *)p->names.data + at[i];
        rc = check_unique(names, meta_n, "key of __metadata__", p->err);
    }
    return rc;
}

/* The tensors must cover the data exactly: no hole, no overlap, no rest. */
static int check_tiling(struct tp_safetensors *st, struct tp_error *err)
{
    uint64_t at = st->data_off;
    if (st->tensor_n)
        qsort(st->tensors, st->tensor_n, sizeof *st->tensors, by_offset);
    for (size_t i = 0; i < st->tensor_n; i++) {
        const struct tp_tensor *t = &st->tensors[i];
        if (t->off != at)
            return tp_fail(err, EBADMSG, "tensor '%.*s' begins at byte %" PRIu64 " of the file, %s",
                           SHOWN(t->name), t->off,
                           t->off < at ? "within the one before" : "which leaves a hole");
        at += t->len;
    }
    if (at != st->file_size)
        return tp_fail(err, EBADMSG, "tensors end at byte %" PRIu64 ", the file at %" PRIu64, at,
                       st->file_size);
    return 0;
}

/*
 * Turn drafts into tensors: one block of memory holds the tensors, then the shapes, then the names.
 */
static int make_tensors(struct parser *p, struct tp_safetensors *out)
{
    size_t n = p->drafts.len / sizeof(struct draft);
    const struct draft *drafts = (const struct draft *)(const void *)p->drafts.data;
    size_t tensors_len = n * sizeof(struct tp_tensor);
    if (n == 0)
        return 0;
    uint8_t *block = malloc(tensors_len + p->dims.len + p->names.len);
    if (!block)
        return tp_oom(p->err);
    out->tensors = (struct tp_tensor *)(void *)block;
    out->tensor_n = n;
    uint64_t *dims = (uint64_t *)(void *)(block + tensors_len);
    char *names = (char *)block + tensors_len + p->dims.len;
    if (p->dims.len)
        memcpy(dims, p->dims.data, p->dims.len);
    memcpy(names, p->names.data, p->names.len);

    for (size_t i = 0; i < n; i++) {
        const struct draft *d = &drafts[i];
        struct tp_tensor *t = &out->tensors[i];
        *t = (struct tp_tensor){
            .name = names + d->name, .dtype = d->dtype, .rank = d->rank, .shape = dims + d->shape};
        if (d->begin > d->end || d->end > p->data_len)
            return tp_fail(p->err, EBADMSG,
                           "tensor '%.*s': data_offsets %" PRIu64 " to %" PRIu64
                           " do not lie within %" PRIu64 " bytes",
                           SHOWN(t->name), d->begin, d->end, p->data_len);
        t->off = out->data_off + d->begin;
        t->len = d->end - d->begin;
        uint64_t len = 0;
        int rc = measure_tensor(t, &len, p->err);
        if (rc < 0)
            return rc;
        if (len != t->len)
            return tp_fail(p->err, EBADMSG,
                           "tensor '%.*s': its shape needs %" PRIu64
                           " bytes, its data_offsets %" PRIu64,
                           SHOWN(t->name), len, t->len);
    }
    return 0;
}

/* The 8 bytes before the header, checked against the file's size. */
static int header_len(const void *data, uint64_t file_size, size_t *out, struct tp_error *err)
{
    uint64_t n = tp_get_le64(data);
    if (n > TP_SAFETENSORS_HEADER_MAX)
        return tp_fail(err, EBADMSG, "safetensors header of %" PRIu64 " bytes is too long", n);
    if (!tp_range_within(8, n, file_size))
        return tp_fail(err, EBADMSG,
                       "safetensors header of %" PRIu64 " bytes, in a file of %" PRIu64, n,
                       file_size);
    *out = (size_t)n;
    return 0;
}

int tp_safetensors_parse(const void *data, size_t len, uint64_t file_size,
                         struct tp_safetensors *out, struct tp_error *err)
{
    size_t n = 0;
    *out = (struct tp_safetensors){0};
    if (len < 8 || file_size < 8)
        return tp_fail(err, EBADMSG, "too short for a safetensors file");
    int rc = header_len(data, file_size, &n, err);
    if (rc < 0)
        return rc;
    if (n > len - 8)
        return tp_fail(err, EBADMSG, "safetensors header is cut short");

    struct parser p = {.err = err, .data_len = file_size - 8 - n};
    out->data_off = 8 + n;
    out->file_size = file_size;
    tp_lex_init(&p.lex, (const uint8_t *)data + 8, n);
    rc = parse_header(&p);
    if (rc == 0)
        rc = make_tensors(&p, out);
    if (rc == 0)
        rc = check_names(&p, out);
    if (rc == 0)
        rc = check_tiling(out, err);
    if (rc < 0)
        tp_safetensors_clear(out);
    tp_buffer_clear(&p.drafts);
    tp_buffer_clear(&p.names);
    tp_buffer_clear(&p.dims);
    tp_buffer_clear(&p.meta);
    return rc;
}

/* One short read, which is enough to refuse nearly all files of other formats. */
static int read_len(int fd, uint64_t file_size, const char *path, size_t *out, struct tp_error *err)
{
    uint8_t head[9];
    if (file_size < TP_SAFETENSORS_MIN)
        return tp_fail(err, EBADMSG, "'%s': too short for a safetensors file", path);
    int rc = tp_file_pread(fd, head, sizeof head, 0, path, err);
    if (rc < 0)
        return rc;
    rc = header_len(head, file_size, out, err);
    if (rc == 0 && head[8] != '{')
        rc = tp_fail(err, EBADMSG, "safetensors header does not begin with '{'");
    if (rc < 0)
        tp_error_prefix(err, "'%s'", path);
    return rc;
}

bool tp_safetensors_likely(int fd, uint64_t file_size)
{
    size_t n;
    return read_len(fd, file_size, "", &n, NULL) == 0;
}

int tp_safetensors_open(int fd, uint64_t file_size, const char *path, struct tp_safetensors *out,
                        struct tp_error *err)
{
    size_t n = 0;
    *out = (struct tp_safetensors){0};
    int rc = read_len(fd, file_size, path, &n, err);
    if (rc < 0)
        return rc;

    tp_autofree uint8_t *data = malloc(8 + n);
    if (!data)
        return tp_fail(err, ENOMEM, "'%s': out of memory for a header of %zu bytes", path, n);
    rc = tp_file_pread(fd, data, 8 + n, 0, path, err);
    if (rc == 0) {
        /* The length may have changed between the two reads: parse checks it again. */
        rc = tp_safetensors_parse(data, 8 + n, file_size, out, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", path);
    }
    return rc;
}

void tp_safetensors_clear(struct tp_safetensors *st)
{
    free(st->tensors);
    *st = (struct tp_safetensors){0};
}
