/* Products with INT4 weights on the CPU, and a layer's routed experts in one call. What calls it: tiles.py beside it.
 *
 * Weights lie in tiles of 16 rows x 32 columns, 288 bytes, rows of tiles one after the other: 256 bytes of codes (0 to 15, the
 * weight plus 8), then 16 bfloat16 scales. Byte 64 q + 4 r + b holds columns 8 q + b (low nibble) and 8 q + 4 + b (high nibble)
 * of row r: each 4 bytes of a row meet 4 neighbouring activations in one integer product.
 *
 * Activations are 16-bit integers per group of 32, x = scale * v, as two planes of 8 bits, v = 256 * hi + lo, so that one dot
 * product is exact integers until the scales: sum (w + 8) v - 8 sum v. The only error is the rounding of v: 2e-5 of the result.
 */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__AVX2__) || !defined(__FMA__)
#error "needs AVX2 and FMA"
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(KIMI_AVX2)
#define WIDE 1
#else
#define WIDE 0
#endif

enum { ROWS = 16, GROUP = 32, TILE = 288, TOKENS = 4, BLOCK = 8, AHEAD = 2048 };

typedef struct {
    int8_t hi[GROUP], lo[GROUP];
    float scale;
    int32_t sum8; /* 8 times the sum of v */
} group;

/* 32 activations as a group. One that is not finite makes the scale NaN, and with it everything that it takes part in. */
static void quantise(const float *x, group *out) {
    uint32_t most = 0;
    for (int i = 0; i < GROUP; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    float amax;
    memcpy(&amax, &most, 4);
    if (most >= 0x7f800000 || most < 0x08000000) { /* not finite; or below 4e-34, whose reciprocal may not be */
        memset(out, 0, sizeof *out);
        out->scale = most >= 0x7f800000 ? NAN : 0;
        return;
    }
    const float by = 32512.f / amax;
    int32_t sum = 0;
    for (int i = 0; i < GROUP; i++) {
        int32_t v = (int32_t)rintf(x[i] * by), hi = (v + 128) >> 8;
        out->hi[i] = (int8_t)hi;
        out->lo[i] = (int8_t)(v - hi * 256);
        sum += v;
    }
    out->scale = amax / 32512.f;
    out->sum8 = 8 * sum;
}

#if WIDE
/* One row of tiles times the M tokens x[0..M - 1]: y[m][0..15]. M is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void tile_row(
    const uint8_t *tile, long groups, const group *const *x, float (*y)[ROWS], const int M) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512 total[TOKENS];
    for (int m = 0; m < M; m++) total[m] = _mm512_setzero_ps();
    for (long g = 0; g < groups; g++, tile += TILE) {
        for (int line = 0; line < 5; line++) _mm_prefetch((const char *)tile + AHEAD + 64 * line, _MM_HINT_T0);
        __m512i even[4], odd[4];
        for (int q = 0; q < 4; q++) {
            __m512i bytes = _mm512_loadu_si512(tile + 64 * q);
            even[q] = _mm512_and_si512(bytes, nibble);
            odd[q] = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
        }
        const __m512 scale = _mm512_castsi512_ps(
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(tile + 256))), 16));
        for (int m = 0; m < M; m++) {
            const group *a = x[m] + g;
            const int32_t *hi = (const int32_t *)a->hi, *lo = (const int32_t *)a->lo;
            __m512i h0 = _mm512_setzero_si512(), h1 = h0, l0 = h0, l1 = h0;
            for (int q = 0; q < 4; q++) {
                h0 = _mm512_dpbusd_epi32(h0, even[q], _mm512_set1_epi32(hi[2 * q]));
                l0 = _mm512_dpbusd_epi32(l0, even[q], _mm512_set1_epi32(lo[2 * q]));
                h1 = _mm512_dpbusd_epi32(h1, odd[q], _mm512_set1_epi32(hi[2 * q + 1]));
                l1 = _mm512_dpbusd_epi32(l1, odd[q], _mm512_set1_epi32(lo[2 * q + 1]));
            }
            __m512i high = _mm512_slli_epi32(_mm512_add_epi32(h0, h1), 8);
            __m512i low = _mm512_sub_epi32(_mm512_add_epi32(l0, l1), _mm512_set1_epi32(a->sum8));
            __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(high, low));
            total[m] = _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, _mm512_set1_ps(a->scale)), total[m]);
        }
    }
    for (int m = 0; m < M; m++) _mm512_storeu_ps(y[m], total[m]);
}
#else
/* The same with 8 rows at a time: 32 products of at most 15 * 128 summed in pairs stay within 16 bits, so one widening does. */
static inline __attribute__((always_inline)) void tile_row(
    const uint8_t *tile, long groups, const group *const *x, float (*y)[ROWS], const int M) {
    const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256 total[TOKENS][2];
    for (int m = 0; m < M; m++) total[m][0] = total[m][1] = _mm256_setzero_ps();
    for (long g = 0; g < groups; g++, tile += TILE) {
        for (int line = 0; line < 5; line++) _mm_prefetch((const char *)tile + AHEAD + 64 * line, _MM_HINT_T0);
        for (int half = 0; half < 2; half++) {
            const __m256 scale = _mm256_castsi256_ps(
                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(tile + 256 + 16 * half))), 16));
            for (int m = 0; m < M; m++) {
                const group *a = x[m] + g;
                const int32_t *hi = (const int32_t *)a->hi, *lo = (const int32_t *)a->lo;
                __m256i h = _mm256_setzero_si256(), l = h;
                for (int q = 0; q < 4; q++) {
                    __m256i bytes = _mm256_loadu_si256((const void *)(tile + 64 * q + 32 * half));
                    __m256i even = _mm256_and_si256(bytes, nibble);
                    __m256i odd = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
                    h = _mm256_add_epi16(h, _mm256_maddubs_epi16(even, _mm256_set1_epi32(hi[2 * q])));
                    l = _mm256_add_epi16(l, _mm256_maddubs_epi16(even, _mm256_set1_epi32(lo[2 * q])));
                    h = _mm256_add_epi16(h, _mm256_maddubs_epi16(odd, _mm256_set1_epi32(hi[2 * q + 1])));
                    l = _mm256_add_epi16(l, _mm256_maddubs_epi16(odd, _mm256_set1_epi32(lo[2 * q + 1])));
                }
                __m256i high = _mm256_slli_epi32(_mm256_madd_epi16(h, ones), 8);
                __m256i low = _mm256_sub_epi32(_mm256_madd_epi16(l, ones), _mm256_set1_epi32(a->sum8));
                __m256 dot = _mm256_cvtepi32_ps(_mm256_add_epi32(high, low));
                total[m][half] = _mm256_fmadd_ps(dot, _mm256_mul_ps(scale, _mm256_set1_ps(a->scale)), total[m][half]);
            }
        }
    }
    for (int m = 0; m < M; m++)
        for (int half = 0; half < 2; half++) _mm256_storeu_ps(y[m] + 8 * half, total[m][half]);
}
#endif

static void row_of_tiles(const uint8_t *tile, long groups, const group *const *x, float (*y)[ROWS], int count) {
    switch (count) {
    case 1: tile_row(tile, groups, x, y, 1); break;
    case 2: tile_row(tile, groups, x, y, 2); break;
    case 3: tile_row(tile, groups, x, y, 3); break;
    default: tile_row(tile, groups, x, y, 4);
    }
}

static long tile_rows(long rows) { return (rows + ROWS - 1) / ROWS; }
static int at_most(long left) { return left < TOKENS ? (int)left : TOKENS; }

/* `packed` [N, K / 8] and `scale` [N, K / 32] as stored, to ceil(N / 16) rows of tiles; rows beyond N are zeros. */
void kimi_int4_pack(const uint32_t *packed, const uint16_t *scale, uint8_t *tiles, long N, long K, int threads) {
    const long groups = K / GROUP;
#pragma omp parallel for num_threads(threads)
    for (long t = 0; t < tile_rows(N); t++)
        for (long g = 0; g < groups; g++) {
            uint8_t *tile = tiles + (t * groups + g) * TILE;
            memset(tile, 0, TILE);
            for (long r = 0; r < ROWS && t * ROWS + r < N; r++) {
                const long row = t * ROWS + r;
                for (int q = 0; q < 4; q++) {
                    const uint32_t word = packed[row * (K / 8) + g * 4 + q];
                    for (int b = 0; b < 4; b++)
                        tile[64 * q + 4 * r + b] = (uint8_t)(((word >> 4 * b) & 15) | ((word >> (16 + 4 * b)) & 15) << 4);
                }
                memcpy(tile + 256 + 2 * r, scale + row * groups + g, 2);
            }
        }
}

/* The inverse. */
void kimi_int4_unpack(const uint8_t *tiles, uint32_t *packed, uint16_t *scale, long N, long K, int threads) {
    const long groups = K / GROUP;
#pragma omp parallel for num_threads(threads)
    for (long row = 0; row < N; row++)
        for (long g = 0; g < groups; g++) {
            const uint8_t *tile = tiles + (row / ROWS * groups + g) * TILE;
            const long r = row % ROWS;
            for (int q = 0; q < 4; q++) {
                uint32_t word = 0;
                for (int b = 0; b < 4; b++) {
                    const uint32_t byte = tile[64 * q + 4 * r + b];
                    word |= (byte & 15) << 4 * b | (byte >> 4) << (16 + 4 * b);
                }
                packed[row * (K / 8) + g * 4 + q] = word;
            }
            memcpy(scale + row * groups + g, tile + 256 + 2 * r, 2);
        }
}

/* y [T, N] = x [T, K] times the transposed matrix. 0, or 1 where there is no memory. */
int kimi_int4_matmul(const float *x, const uint8_t *tiles, float *y, long T, long N, long K, int threads) {
    const long groups = K / GROUP;
    group *a = malloc(sizeof(group) * T * groups);
    if (!a) return 1;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
        for (long i = 0; i < T * groups; i++) quantise(x + i * GROUP, a + i);
#pragma omp for schedule(dynamic, 4)
        for (long t = 0; t < tile_rows(N); t++)
            for (long first = 0; first < T; first += TOKENS) {
                const int count = at_most(T - first);
                const group *rows[TOKENS];
                float out[TOKENS][ROWS];
                for (int m = 0; m < count; m++) rows[m] = a + (first + m) * groups;
                row_of_tiles(tiles + t * groups * TILE, groups, rows, out, count);
                for (int m = 0; m < count; m++)
                    for (long r = 0; r < ROWS && t * ROWS + r < N; r++) y[(first + m) * N + t * ROWS + r] = out[m][r];
            }
    }
    free(a);
    return 0;
}

typedef struct {
    long T, top, D, I, used; /* `used`: how many experts have tokens */
    const uint8_t *w13, *w2;
    const float *weights;
    const long *order, *expert, *begin; /* pairs token * top + slot by expert; the used experts; where theirs begin */
    const group *x;                     /* [T, D / 32] */
    group *h;                           /* [pairs, I / 32], in the order of `order` */
    float *y;
} layer;

/* 32 channels of one expert, all of its tokens: gate and up, SwiGLU, and the channels as one group of h. */
static void channels(const layer *l, long used, long block) {
    const long groups = l->D / GROUP, wide = groups * TILE, end = l->begin[used + 1];
    const uint8_t *gate = l->w13 + (l->expert[used] * tile_rows(2 * l->I) + 2 * block) * wide;
    const uint8_t *up = gate + l->I / ROWS * wide;
    for (long first = l->begin[used]; first < end; first += TOKENS) {
        const int count = at_most(end - first);
        const group *rows[TOKENS];
        float g[2][TOKENS][ROWS], u[2][TOKENS][ROWS], h[GROUP];
        for (int m = 0; m < count; m++) rows[m] = l->x + l->order[first + m] / l->top * groups;
        for (int half = 0; half < 2; half++) row_of_tiles(gate + half * wide, groups, rows, g[half], count);
        for (int half = 0; half < 2; half++) row_of_tiles(up + half * wide, groups, rows, u[half], count);
        for (int m = 0; m < count; m++) {
            for (int i = 0; i < GROUP; i++) {
                const float value = g[i / ROWS][m][i % ROWS];
                h[i] = value / (1.f + expf(-value)) * u[i / ROWS][m][i % ROWS];
            }
            quantise(h, l->h + (first + m) * (l->I / GROUP) + block);
        }
    }
}

/* BLOCK rows of tiles of the result from `t` on, all tokens, their experts in ascending order. */
static void outputs(const layer *l, long t) {
    const long groups = l->I / GROUP, wide = groups * TILE, stop = t + BLOCK < tile_rows(l->D) ? t + BLOCK : tile_rows(l->D);
    const long begin_row = t * ROWS, end_row = stop * ROWS < l->D ? stop * ROWS : l->D;
    for (long token = 0; token < l->T; token++)
        memset(l->y + token * l->D + begin_row, 0, sizeof(float) * (end_row - begin_row));
    for (long used = 0; used < l->used; used++)
        for (long at = t; at < stop; at++) {
            const uint8_t *tile = l->w2 + (l->expert[used] * tile_rows(l->D) + at) * wide;
            const int rows = l->D - at * ROWS < ROWS ? (int)(l->D - at * ROWS) : ROWS;
            const long end = l->begin[used + 1];
            for (long first = l->begin[used]; first < end; first += TOKENS) {
                const int count = at_most(end - first);
                const group *h[TOKENS];
                float out[TOKENS][ROWS];
                for (int m = 0; m < count; m++) h[m] = l->h + (first + m) * groups;
                row_of_tiles(tile, groups, h, out, count);
                for (int m = 0; m < count; m++) {
                    const long pair = l->order[first + m];
                    float *y = l->y + pair / l->top * l->D + at * ROWS;
                    for (int r = 0; r < rows; r++) y[r] += l->weights[pair] * out[m][r];
                }
            }
        }
}

/* Pairs (token, slot) of the experts held here, by expert and then by token, into order, expert and begin. How many experts. */
static long group_pairs(const int64_t *experts, long pairs, long first, long held, long *order, long *expert, long *begin) {
    long used = 0, at = 0;
    long *count = calloc(held + 1, sizeof(long));
    if (!count) return -1;
    for (long p = 0; p < pairs; p++)
        if (experts[p] >= first && experts[p] < first + held) count[experts[p] - first]++;
    for (long e = 0; e < held; e++) {
        const long many = count[e];
        count[e] = at;
        if (many) expert[used] = e, begin[used++] = at;
        at += many;
    }
    begin[used] = at;
    for (long p = 0; p < pairs; p++)
        if (experts[p] >= first && experts[p] < first + held) order[count[experts[p] - first]++] = p;
    free(count);
    return used;
}

/* y [T, D] = the weighted sum of each token's `top` experts, of those from `first` on that are held here. 1: no memory. */
int kimi_int4_moe(
    const float *x, const int64_t *experts, const float *weights, const uint8_t *w13, const uint8_t *w2, float *y,
    long T, long top, long held, long first, long D, long I, int threads) {
    const long pairs = T * top, groups = D / GROUP;
    group *a = malloc(sizeof(group) * T * groups), *h = malloc(sizeof(group) * pairs * (I / GROUP));
    long *lists = malloc(sizeof(long) * (3 * pairs + 1));
    long *order = lists, *expert = lists + pairs, *begin = lists + 2 * pairs;
    const long used = a && h && lists ? group_pairs(experts, pairs, first, held, order, expert, begin) : -1;
    if (used >= 0) {
        const layer l = {T, top, D, I, used, w13, w2, weights, order, expert, begin, a, h, y};
        const long blocks = I / GROUP;
#pragma omp parallel num_threads(threads)
        {
#pragma omp for
            for (long i = 0; i < T * groups; i++) quantise(x + i * GROUP, a + i);
#pragma omp for schedule(dynamic, 4)
            for (long i = 0; i < used * blocks; i++) channels(&l, i / blocks, i % blocks);
#pragma omp for schedule(dynamic, 1)
            for (long t = 0; t < tile_rows(D); t += BLOCK) outputs(&l, t);
        }
    }
    free(a);
    free(h);
    free(lists);
    return used < 0;
}
