// Channels cut into blocks of whole vectors, for kernels that keep two registers for each vector.
#pragma once

#include "kernels/table.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_LEVEL {
namespace {

constexpr int most_vectors = vector_registers / 4;  // at a time

template <int vectors>
struct Vectors {
    static constexpr int count = vectors;
};

// body(Vectors<u>{}, c, done) for blocks of u <= most vectors from channel c on that cover all channels; channels >=
// lanes. The last vector ends with the last channel, its first `done` lanes are done for the second time.
template <class T, int most = most_vectors, class Body>
FASTCONV_INLINE void for_channels(index_t channels, const Body& body) {
    constexpr int V = lanes<T>;
    index_t c = 0;
    for (; c + most * V <= channels; c += most * V) body(Vectors<most>{}, c, 0);
    if constexpr (most > 4)
        for (; c + 4 * V <= channels; c += 4 * V) body(Vectors<4>{}, c, 0);
    if constexpr (most > 2)
        for (; c + 2 * V <= channels; c += 2 * V) body(Vectors<2>{}, c, 0);
    for (; c + V <= channels; c += V) body(Vectors<1>{}, c, 0);
    if (c < channels) body(Vectors<1>{}, channels - V, static_cast<int>(c - (channels - V)));
}

}  // namespace
}  // namespace fastconv::FASTCONV_LEVEL
