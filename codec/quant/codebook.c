/* SPDX-License-Identifier: MIT */
/* Codebooks of vectors by k-means, with a weight for each element. */
#include <config.h>

#include "codec/quant/lowrank.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/quant/grid.h"

#define SAMPLE 16384u /* vectors that centroids are trained on */
#define ITERATIONS 10
#define BOOK_MAX 256u

/* The nearest of the first COUNT centroids; of equal ones the first. */
TP_INLINE unsigned nearest(const struct tp_codebook *book, const float *x, const float *h)
{
    unsigned count = 1u << book->bits, best = 0;
    float distance[BOOK_MAX];

    for (unsigned k = 0; k < count; k++)
        distance[k] = 0;
    for (uint32_t j = 0; j < book->group; j++) {
        const float *column = book->transposed + (size_t)j * count;
        float weight = h ? h[j] : 1, value = x[j];

        for (unsigned k = 0; k < count; k++) {
            float d = value - column[k];

            distance[k] = distance[k] + weight * d * d;
        }
    }
    for (unsigned k = 1; k < count; k++)
        best = distance[k] < distance[best] ? k : best;
    return best;
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static unsigned nearest_##SUFFIX(const struct tp_codebook *book, const float *x,        \
                                            const float *h)                                        \
    {                                                                                              \
        return nearest(book, x, h);                                                                \
    }

TP_FOR_EACH_ISA(KERNELS)

static unsigned (*const nearest_by_isa[TP_ISA_COUNT])(const struct tp_codebook *, const float *,
                                                      const float *) = TP_BY_ISA(nearest);

unsigned tp_codebook_code(const struct tp_codebook *book, const float *x, const float *h)
{
    return nearest_by_isa[tp_isa_get()](book, x, h);
}

float tp_codebook_scale(const float *x, uint32_t n)
{
    double sum = 0;
    float scale;

    for (uint32_t c = 0; c < n; c++)
        sum += (double)x[c] * x[c];
    scale = tp_half((float)sqrt(sum / n));
    return scale > 0 ? scale : 1;
}

static void transpose(struct tp_codebook *book)
{
    unsigned count = 1u << book->bits;

    for (unsigned k = 0; k < count; k++)
        for (uint32_t j = 0; j < book->group; j++)
            book->transposed[(size_t)j * count + k] = book->centroid[(size_t)k * book->group + j];
}

/* The vectors of evenly chosen rows, divided by the rows' scales; their number. */
static size_t take_sample(const struct tp_row_source *source, uint32_t rows, float *sample)
{
    size_t cols = source->cols;

    for (uint32_t i = 0; i < rows; i++) {
        float *x = sample + i * cols, scale;

        source->get(source->context, (uint32_t)((uint64_t)i * source->rows / rows), x);
        scale = tp_codebook_scale(x, source->cols);
        for (size_t c = 0; c < cols; c++)
            x[c] = x[c] / scale;
    }
    return rows * cols;
}

/* Move the centroids to the weighted means of their vectors; one without vectors stays. */
static void move_centroids(struct tp_codebook *book, const float *sample, size_t n,
                           const float *weight, uint32_t cols, double *sums)
{
    size_t size = ((size_t)1 << book->bits) * book->group;
    double *weights = sums + size;

    memset(sums, 0, 2 * size * sizeof *sums);
    for (size_t at = 0; at < n; at += book->group) {
        const float *h = weight ? weight + at % cols : NULL;
        size_t to = tp_codebook_code(book, sample + at, h) * (size_t)book->group;

        for (uint32_t j = 0; j < book->group; j++) {
            double k = h ? h[j] : 1;

            sums[to + j] += k * sample[at + j];
            weights[to + j] += k;
        }
    }
    for (size_t i = 0; i < size; i++)
        if (weights[i] > 0)
            book->centroid[i] = (float)(sums[i] / weights[i]);
    transpose(book);
}

int tp_codebook_train(const struct tp_row_source *source, const float *weight,
                      struct tp_codebook *book)
{
    uint32_t vectors = source->cols / book->group, count = 1u << book->bits;
    uint32_t rows = (SAMPLE + vectors - 1) / vectors;
    float *sample;
    double *sums = malloc(2 * (size_t)count * book->group * sizeof *sums);
    size_t n, have;

    rows = rows < source->rows ? rows : source->rows;
    sample = malloc((size_t)rows * source->cols * sizeof *sample);
    if (!sample || !sums) {
        free(sample);
        free(sums);
        return -ENOMEM;
    }
    n = take_sample(source, rows, sample);
    have = n / book->group;
    for (uint32_t k = 0; k < count; k++)
        memcpy(book->centroid + (size_t)k * book->group,
               sample + (size_t)((uint64_t)k * have / count) * book->group,
               book->group * sizeof *sample);
    transpose(book);
    for (int i = 0; i < ITERATIONS; i++)
        move_centroids(book, sample, n, weight, source->cols, sums);
    for (size_t i = 0; i < (size_t)count * book->group; i++)
        book->centroid[i] = tp_half(book->centroid[i]);
    transpose(book);
    free(sample);
    free(sums);
    return 0;
}
