// Lengths cut into equal pieces.
#pragma once

#include <algorithm>

#include "common.hpp"

namespace fastconv::ops {

struct Range {
    index_t begin, end;
    index_t size() const { return end - begin; }
};

// What of `a` is in `b` too; within `a` even if that is nothing.
inline Range overlap(Range a, Range b) {
    const index_t begin = std::clamp(b.begin, a.begin, a.end);
    return {begin, std::clamp(b.end, begin, a.end)};
}

inline Range shifted(Range range, index_t by) { return {range.begin + by, range.end + by}; }

inline index_t pieces(index_t length, index_t piece) { return (length + piece - 1) / piece; }

// Part `i` of `parts` of a length: any runs of as many parts differ by one element at most, so that threads with
// equal runs have equal work.
inline Range equal_part(index_t length, index_t i, index_t parts) {
    return {length * i / parts, length * (i + 1) / parts};
}

// `length` cut into equal pieces of at most `most`, each a multiple of `unit` but for the last.
class Cut {
  public:
    Cut(index_t length, index_t most, index_t unit)
        : piece(pieces(pieces(length, pieces(length, std::max(unit, most))), unit) * unit),
          count(pieces(length, piece)),
          length_(length) {}
    Range operator[](index_t i) const { return {i * piece, std::min(length_, (i + 1) * piece)}; }

    index_t piece, count;

  private:
    index_t length_;
};

}  // namespace fastconv::ops
