// Dropout from a counter-based generator: the mask of an element depends on its index alone, so that any split
// of the work and the backward pass see the same one. Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011: ten rounds of two 32x32 -> 64 bit products and exclusive-ors.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr int group = 16;  // counters at a time: loops of this length become vector code

struct Words {
    alignas(64) std::uint32_t of[4][group];  // word w of counter j
};

FASTCONV_INLINE void philox(std::uint64_t counter, std::uint64_t seed, Words& words) {
    std::uint32_t(&c)[4][group] = words.of;
    for (int j = 0; j < group; ++j) {
        const std::uint64_t n = counter + static_cast<std::uint64_t>(j);
        c[0][j] = static_cast<std::uint32_t>(n);
        c[1][j] = static_cast<std::uint32_t>(n >> 32);
        c[2][j] = c[3][j] = 0;
    }
    std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int j = 0; j < group; ++j) {
            const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0][j];
            const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2][j];
            c[0][j] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1][j] ^ key0;
            c[1][j] = static_cast<std::uint32_t>(p1);
            c[2][j] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3][j] ^ key1;
            c[3][j] = static_cast<std::uint32_t>(p0);
        }
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
}

template <class T>
void dropout(index_t size, const T* x, T scale, std::uint32_t threshold, std::uint64_t seed, std::uint64_t counter,
             T* y) noexcept {
    Words words;
    for (index_t first = 0; first < size; first += 4 * group, counter += group) {
        philox(counter, seed, words);
        const int n = size - first < 4 * group ? static_cast<int>(size - first) : 4 * group;
        for (int i = 0; i < n; ++i) {
            const bool kept = words.of[i % 4][i / 4] >= threshold;
            y[first + i] = kept ? x[first + i] * scale : T(0);
        }
    }
}

}  // namespace

void register_dropout(Kernels& table) noexcept {
    table.f32.dropout = dropout<float>;
    table.f64.dropout = dropout<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
