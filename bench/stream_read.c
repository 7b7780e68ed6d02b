/* Reads memory as fast as the machine can: the bound of everything that streams weights. */
#include <stdint.h>

uint64_t stream_read(const uint64_t *data, long words, int threads) {
    uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(dynamic, 1)
    for (long block = 0; block < words / 32768; block++) {
        const uint64_t *at = data + block * 32768;
        uint64_t part = 0;
        for (long i = 0; i < 32768; i++) part += at[i];
        sum += part;
    }
    return sum;
}
