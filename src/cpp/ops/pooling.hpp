// Pooling windows cut into strips that hold the same taps; shared by pooling and by convolution fused with it.
#pragma once

#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

class PoolingStrips {
  public:
    // Throws std::invalid_argument if a window holds no element of the image.
    explicit PoolingStrips(const Pool2dShape& shape);

    // Calls kernel(strip) for the windows of output row `row` of one image, of which x, y, argmax and codes (may be
    // null) are the beginnings.
    template <class T, class Kernel>
    void for_row(index_t row, const T* x, T* y, std::int64_t* argmax, std::uint8_t* codes,
                 const Kernel& kernel) const {
        const Rectangles& of_row = rows_[static_cast<std::size_t>(row_segment_[static_cast<std::size_t>(row)])];
        const index_t origin = row * shape_.stride_height * shape_.in_width * shape_.channels;
        for (const Rectangle& r : of_row) {
            kernels::PoolStrip<T> strip{};
            strip.origin = origin + r.columns.begin * shape_.stride_width * shape_.channels;
            strip.x = x + strip.origin;
            strip.x_stride = shape_.stride_width * shape_.channels;
            strip.tap_offsets = r.tap_offsets.data();
            strip.taps = static_cast<index_t>(r.tap_offsets.size());
            strip.divisor = strip.taps;
            strip.pixels = r.columns.end - r.columns.begin;
            strip.channels = shape_.channels;
            const index_t first = (row * shape_.out_width + r.columns.begin) * shape_.channels;
            strip.y = y + first;
            strip.y_stride = shape_.channels;
            strip.argmax = argmax ? argmax + first : nullptr;
            strip.codes = codes ? codes + first : nullptr;
            kernel(strip);
        }
    }

  private:
    struct Rectangle {
        Segment columns;
        std::vector<index_t> tap_offsets;
    };
    using Rectangles = std::vector<Rectangle>;

    Pool2dShape shape_;
    std::vector<Rectangles> rows_;      // for each segment of rows
    std::vector<index_t> row_segment_;  // of each output row
};

}  // namespace fastconv::ops
