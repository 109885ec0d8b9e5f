// Pooling windows cut into strips that hold the same taps; shared by pooling and by convolution fused with it.
#pragma once

#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::ops {

class PoolingStrips {
  public:
    // Throws std::invalid_argument if a window holds no element of the image. `far`: x is in none of the caches.
    explicit PoolingStrips(const Pool2dShape& shape, bool far = false);

    // Calls kernel(strip) for the windows of output row `row` of one image, of which x, y, argmax and codes (may be
    // null) are the beginnings.
    template <class T, class Kernel>
    void for_row(index_t row, const T* x, T* y, std::int64_t* argmax, std::uint8_t* codes, const Kernel& kernel,
                 bool stream_y = false, bool stream_argmax = false) const {
        const index_t row_segment = row_segment_[static_cast<std::size_t>(row)];
        const index_t origin = row * shape_.stride_height * shape_.in_width * shape_.channels;
        for (index_t i = row_segment * column_segments_; i < (row_segment + 1) * column_segments_; ++i) {
            const Rectangle& r = rectangles_[static_cast<std::size_t>(i)];
            kernels::PoolStrip<T> strip{};
            strip.origin = origin + r.columns.begin * shape_.stride_width * shape_.channels;
            strip.x = x + strip.origin;
            strip.x_stride = shape_.stride_width * shape_.channels;
            strip.tap_offsets = offsets_.data() + r.first_offset;
            strip.taps = r.taps;
            strip.divisor = strip.taps;
            strip.ahead_offsets = strip.tap_offsets + r.taps;
            strip.ahead = r.ahead;
            strip.pixels = r.columns.end - r.columns.begin;
            strip.channels = shape_.channels;
            const index_t first = (row * shape_.out_width + r.columns.begin) * shape_.channels;
            strip.y = y + first;
            strip.y_stride = shape_.channels;
            strip.argmax = argmax ? argmax + first : nullptr;
            strip.codes = codes ? codes + first : nullptr;
            strip.stream_y = stream_y;
            strip.stream_argmax = stream_argmax;
            kernel(strip);
        }
    }

  private:
    struct Rectangle {
        Segment columns;
        index_t first_offset, taps, ahead;
    };

    Pool2dShape shape_;
    index_t column_segments_;
    std::vector<index_t> row_segment_;   // of each output row
    std::vector<Rectangle> rectangles_;  // row segments x column segments
    std::vector<index_t> offsets_;       // of the taps of each, then of what it asks for ahead
};

}  // namespace fastconv::ops
