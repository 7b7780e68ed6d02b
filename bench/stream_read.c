/* Reads pieces of memory as fast as the machine can: the bound of everything that streams weights. */
#include <stdint.h>

enum { BLOCK = 32768 }; /* words */

uint64_t stream_read(const uint64_t *const *pieces, const long *words, long count, int threads) {
    uint64_t sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    for (long piece = 0; piece < count; piece++) {
#pragma omp for schedule(dynamic, 1) nowait
        for (long begin = 0; begin < words[piece]; begin += BLOCK) {
            const uint64_t *data = pieces[piece];
            const long end = begin + BLOCK < words[piece] ? begin + BLOCK : words[piece];
            for (long i = begin; i < end; i++) sum += data[i];
        }
    }
    return sum;
}
