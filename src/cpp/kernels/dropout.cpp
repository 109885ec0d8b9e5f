// Dropout from a counter-based generator: the mask of an element depends on its index alone, so that any split
// of the work and the backward pass see the same one. Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011: ten rounds of two 32x32 -> 64 bit products and exclusive-ors.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr int counters = lanes<double>;  // at a time, one in each 64-bit lane

// The 4 * counters words of the counters n, in order. The halves of a 64-bit lane are not kept apart until the end:
// products take the lower ones alone, and only those are used again.
FASTCONV_INLINE void philox(vec_u64 n, std::uint64_t seed, std::uint32_t* words) {
    constexpr std::uint64_t low_half = 0xFFFFFFFF;
    vec_u64 c0 = n, c1 = n >> 32, c2{}, c3{};
    std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
    FASTCONV_UNROLL for (int round = 0; round < 10; ++round) {
        const vec_u64 p0 = multiply_low_halves(c0, vec_u64{} + 0xD2511F53);
        const vec_u64 p1 = multiply_low_halves(c2, vec_u64{} + 0xCD9E8D57);
        c0 = (p1 >> 32) ^ c1 ^ std::uint64_t{key0};
        c1 = p1;
        c2 = (p0 >> 32) ^ c3 ^ std::uint64_t{key1};
        c3 = p0;
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    // Two words make a 64-bit lane; the lanes of both pairs alternate.
    const auto pair0 = (vec<double>)((c0 & low_half) | c1 << 32), pair1 = (vec<double>)((c2 & low_half) | c3 << 32);
    store(reinterpret_cast<double*>(words), interleave<lanes<double>, double>(pair0, pair1, false));
    store(reinterpret_cast<double*>(words + 2 * counters), interleave<lanes<double>, double>(pair0, pair1, true));
}

// One word for each lane of T.
template <class T>
struct words_of {
    typedef std::uint32_t type __attribute__((vector_size(4 * lanes<T>)));
};

template <class T>
void dropout(index_t size, const T* x, T scale, std::uint32_t threshold, std::uint64_t seed, std::uint64_t counter,
             T* y) noexcept {
    constexpr int group = 4 * counters;
    alignas(vector_bytes) std::uint32_t words[group];
    vec_u64 n;
    FASTCONV_UNROLL for (int i = 0; i < counters; ++i) n[i] = counter + static_cast<std::uint64_t>(i);
    for (index_t first = 0; first < size; first += group, n += counters) {
        philox(n, seed, words);
        if (size - first >= group) {
            FASTCONV_UNROLL for (int i = 0; i < group; i += lanes<T>) {
                typename words_of<T>::type word;
                __builtin_memcpy(&word, words + i, sizeof(word));
                const ivec<T> kept = __builtin_convertvector(word >= threshold, ivec<T>);
                store(y + first + i, kept ? vec<T>(load(x + first + i) * scale) : vec<T>{});
            }
        } else {
            for (int i = 0; i < static_cast<int>(size - first); ++i)
                y[first + i] = words[i] >= threshold ? x[first + i] * scale : T(0);
        }
    }
}

}  // namespace

void register_dropout(Kernels& table) noexcept {
    table.f32.dropout = dropout<float>;
    table.f64.dropout = dropout<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
