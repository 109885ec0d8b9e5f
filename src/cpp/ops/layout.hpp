// The order of an activation's elements in memory, as a caller chooses it.
#pragma once

#include "common.hpp"
#include "ops/elementwise.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

enum class Layout { channels_last, channels_first };

// The same order either way?
inline bool same_in_both(index_t channels, index_t pixels) { return channels == 1 || pixels == 1; }

// `images` in NHWC: as they lie, or a copy that `buffer` holds.
template <class T>
const T* to_channels_last(Layout layout, index_t batch, index_t channels, index_t pixels, const T* images,
                          runtime::Buffer<T>& buffer, int num_threads) {
    if (layout == Layout::channels_last || same_in_both(channels, pixels)) return images;
    buffer = runtime::Buffer<T>(static_cast<std::size_t>(batch * channels * pixels));
    transpose_planes(batch, channels, pixels, images, buffer.data(), num_threads);
    return buffer.data();
}

// Where a result is computed in NHWC: in place, or in `buffer` until finish().
template <class T>
class ChannelsLastResult {
  public:
    ChannelsLastResult(Layout layout, index_t batch, index_t channels, index_t pixels, T* images)
        : batch_(batch), channels_(channels), pixels_(pixels), images_(images) {
        if (layout == Layout::channels_first && !same_in_both(channels, pixels))
            buffer_ = runtime::Buffer<T>(static_cast<std::size_t>(batch * channels * pixels));
    }
    T* data() const { return buffer_.data() ? buffer_.data() : images_; }
    void finish(int num_threads) const {
        if (buffer_.data()) transpose_planes(batch_, pixels_, channels_, buffer_.data(), images_, num_threads);
    }

  private:
    index_t batch_, channels_, pixels_;
    T* images_;
    runtime::Buffer<T> buffer_;
};

}  // namespace fastconv::ops
