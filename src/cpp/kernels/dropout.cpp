// Dropout from a counter-based generator: the mask of an element depends on its index alone, so that any split
// of the work sees the same one. Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011: ten rounds of two 32x32 -> 64 bit products and exclusive-ors, 60 operations for four vectors of
// words. A backward pass reads the bits that the forward pass kept instead, one operation for a vector.
#include "kernels/registration.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr int counters = lanes<double>;  // of a block, one in each 64-bit lane
// Rounds wait for each other: two blocks side by side are 1.15x (AVX-512) to 1.5x (AVX2) as fast on Zen 4.
constexpr int blocks = 2;

// The 4 * counters words of the counters n, in order, and of the blocks after them. The halves of a 64-bit lane are
// not kept apart until the end: products take the lower ones alone, and only those are used again.
FASTCONV_INLINE void philox(vec_u64 n, std::uint64_t seed, std::uint32_t* words) {
    constexpr std::uint64_t low_half = 0xFFFFFFFF;
    vec_u64 c0[blocks], c1[blocks], c2[blocks] = {}, c3[blocks] = {};
    FASTCONV_UNROLL for (int b = 0; b < blocks; ++b) {
        c0[b] = n + static_cast<std::uint64_t>(b * counters);
        c1[b] = c0[b] >> 32;
    }
    std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
    FASTCONV_UNROLL for (int round = 0; round < 10; ++round) {
        FASTCONV_UNROLL for (int b = 0; b < blocks; ++b) {
            const vec_u64 p0 = multiply_low_halves(c0[b], vec_u64{} + 0xD2511F53);
            const vec_u64 p1 = multiply_low_halves(c2[b], vec_u64{} + 0xCD9E8D57);
            c0[b] = (p1 >> 32) ^ c1[b] ^ std::uint64_t{key0};
            c1[b] = p1;
            c2[b] = (p0 >> 32) ^ c3[b] ^ std::uint64_t{key1};
            c3[b] = p0;
        }
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    FASTCONV_UNROLL for (int b = 0; b < blocks; ++b) {
        // Two words make a 64-bit lane; the lanes of both pairs alternate.
        const auto pair0 = (vec<double>)((c0[b] & low_half) | c1[b] << 32);
        const auto pair1 = (vec<double>)((c2[b] & low_half) | c3[b] << 32);
        auto* out = reinterpret_cast<double*>(words + 4 * b * counters);
        store(out, interleave<lanes<double>, double>(pair0, pair1, false));
        store(out + counters, interleave<lanes<double>, double>(pair0, pair1, true));
    }
}

// The bytes that hold `count` bits.
FASTCONV_INLINE void store_bytes(std::uint64_t bits, index_t count, std::uint8_t* p) {
    if (count == 64) return static_cast<void>(__builtin_memcpy(p, &bits, 8));
    for (index_t i = 0; i < count; i += 8, bits >>= 8) p[i / 8] = static_cast<std::uint8_t>(bits);
}

// The lanes that are not zero.
template <class T>
FASTCONV_INLINE mask<T> set_lanes(ivec<T> v) {
    return static_cast<mask<T>>(~equal(v, ivec<T>{}));
}

// One word for each lane of T.
template <class T>
struct words_of {
    typedef std::uint32_t type __attribute__((vector_size(4 * lanes<T>)));
};

template <class T>
void dropout(index_t size, const T* x, T scale, std::uint32_t threshold, std::uint64_t seed, std::uint64_t counter,
             T* y, std::uint8_t* kept) noexcept {
    constexpr int group = 4 * blocks * counters;  // fills whole bytes of bits
    alignas(vector_bytes) std::uint32_t words[group];
    vec_u64 n;
    FASTCONV_UNROLL for (int i = 0; i < counters; ++i) n[i] = counter + static_cast<std::uint64_t>(i);
    for (index_t first = 0; first < size; first += group, n += blocks * counters) {
        philox(n, seed, words);
        std::uint64_t bits = 0;
        if (size - first >= group) {
            FASTCONV_UNROLL for (int i = 0; i < group; i += lanes<T>) {
                typename words_of<T>::type word;
                __builtin_memcpy(&word, words + i, sizeof(word));
                const auto wanted = set_lanes<T>(__builtin_convertvector(word >= threshold, ivec<T>));
                store(y + first + i, zero_unless(wanted, vec<T>(load(x + first + i) * scale)));
                if (kept) bits |= std::uint64_t{mask_bits(wanted)} << i;
            }
        } else {
            for (int i = 0; i < static_cast<int>(size - first); ++i) {
                const bool wanted = words[i] >= threshold;
                y[first + i] = wanted ? x[first + i] * scale : T(0);
                bits |= std::uint64_t{wanted} << i;
            }
        }
        if (kept) store_bytes(bits, (size - first < group ? size - first : group), kept + first / 8);
    }
}

template <class T>
void scale_kept(index_t size, const T* x, T scale, const std::uint8_t* kept, T* y) noexcept {
    constexpr int V = lanes<T>, group = V < 8 ? 8 : V;
    ivec<T> lane_bit;
    FASTCONV_UNROLL for (int i = 0; i < V; ++i) lane_bit[i] = 1 << i;
    index_t first = 0;
    for (; first + group <= size; first += group) {
        std::uint32_t bits = 0;
        __builtin_memcpy(&bits, kept + first / 8, group / 8);
        FASTCONV_UNROLL for (int i = 0; i < group; i += V) {
            const ivec<T> bit = broadcast(static_cast<typename integer_of<T>::type>(bits >> i)) & lane_bit;
            store(y + first + i, zero_unless(set_lanes<T>(bit), vec<T>(load(x + first + i) * scale)));
        }
    }
    for (; first < size; ++first) y[first] = kept[first / 8] >> first % 8 & 1 ? x[first] * scale : T(0);
}

}  // namespace

void register_dropout(Kernels& table) noexcept {
    table.f32.dropout = dropout<float>;
    table.f64.dropout = dropout<double>;
    table.f32.scale_kept = scale_kept<float>;
    table.f64.scale_kept = scale_kept<double>;
}

}  // namespace fastconv::FASTCONV_LEVEL
