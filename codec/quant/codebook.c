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

typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));
enum { LANES = 8, CENTROIDS = 4 * LANES };

/* The distances of X from CENTROIDS centroids from number K on. */
TP_INLINE void some_distances(const struct tp_codebook *book, const float *x, const float *h,
                              unsigned k, float *distance)
{
    size_t count = (size_t)1 << book->bits;
    const float *column = book->transposed + k;
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};

    for (uint32_t j = 0; j < book->group; j++, column += count) {
        float weight = h ? h[j] : 1, value = x[j];
        lanes d0 = value - *(const lanes *)column;
        lanes d1 = value - *(const lanes *)(column + LANES);
        lanes d2 = value - *(const lanes *)(column + 2 * LANES);
        lanes d3 = value - *(const lanes *)(column + 3 * LANES);

        s0 += weight * d0 * d0;
        s1 += weight * d1 * d1;
        s2 += weight * d2 * d2;
        s3 += weight * d3 * d3;
    }
    *(lanes *)distance = s0;
    *(lanes *)(distance + LANES) = s1;
    *(lanes *)(distance + 2 * LANES) = s2;
    *(lanes *)(distance + 3 * LANES) = s3;
}

TP_INLINE float one_distance(const struct tp_codebook *book, const float *x, const float *h,
                             unsigned k)
{
    float sum = 0;

    for (uint32_t j = 0; j < book->group; j++) {
        float d = x[j] - book->transposed[((size_t)j << book->bits) + k];

        sum = sum + (h ? h[j] : 1) * d * d;
    }
    return sum;
}

/* The nearest centroid; of equal ones the first. */
TP_INLINE unsigned nearest(const struct tp_codebook *book, const float *x, const float *h)
{
    unsigned count = 1u << book->bits, k = 0;
    float distance[BOOK_MAX], least = INFINITY;

    for (; k + CENTROIDS <= count; k += CENTROIDS)
        some_distances(book, x, h, k, distance + k);
    for (; k < count; k++)
        distance[k] = one_distance(book, x, h, k);
    for (k = 0; k < count; k++)
        least = distance[k] < least ? distance[k] : least;
    for (k = 0; k < count; k++)
        if (distance[k] == least)
            return k;
    return 0;
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
