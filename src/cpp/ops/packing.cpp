#include "ops/packing.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/parallel.hpp"

namespace fastconv::ops {

template <class T>
int block_vectors(index_t columns) {
    const auto& kernels = dispatch::active<T>();
    const index_t vectors = std::max<index_t>(1, pieces(columns, kernels.lanes));
    return static_cast<int>(pieces(vectors, pieces(vectors, kernels.block_vectors)));
}

template <class T>
WeightBlocks<T>::WeightBlocks(const Conv2dShape& s, const T* kernel, bool transposed, index_t tap_columns,
                              std::vector<index_t> taps)
    : kernel_(kernel),
      kernel_row_(s.out_channels),
      groups_(s.groups),
      depth_(transposed ? s.group_out_channels() : s.group_in_channels()),
      columns_(transposed ? s.group_in_channels() : s.group_out_channels()),
      transposed_(transposed),
      vectors_(block_vectors<T>(columns_)),
      tap_columns_(tap_columns),
      taps_(std::move(taps)) {}

template <class T>
WeightBlocks<T> WeightBlocks<T>::forward(const Conv2dShape& s, const T* kernel) {
    std::vector<index_t> taps(static_cast<std::size_t>(s.kernel_height * s.kernel_width));
    std::iota(taps.begin(), taps.end(), index_t{0});
    return {s, kernel, false, s.kernel_width, std::move(taps)};
}

template <class T>
WeightBlocks<T> WeightBlocks<T>::transposed(const Conv2dShape& s, const Axis& rows, const Axis& columns,
                                            const T* kernel) {
    std::vector<index_t> taps;
    taps.reserve(rows.taps.size() * columns.taps.size());
    for (const auto& i : rows.taps)
        for (const auto& j : columns.taps) taps.push_back(i.kernel_index * s.kernel_width + j.kernel_index);
    return {s, kernel, true, static_cast<index_t>(columns.taps.size()), std::move(taps)};
}

template <class T>
TapWeights<T> WeightBlocks<T>::layout(const T* data) const {
    return {data, block_size(), tap_columns_ * tap_size(), tap_size(), width(), vectors_, !transposed_};
}

template <class T>
const T* WeightBlocks<T>::in_place() const {
    return !transposed_ && groups_ == 1 && columns_ == width() ? kernel_ : nullptr;
}

template <class T>
void WeightBlocks<T>::pack_tap(index_t group, index_t block, index_t tap, T* out) const {
    const index_t width = this->width(), first = block * width, count = std::min(width, columns_ - first);
    const index_t number = taps_[static_cast<std::size_t>(tap)];
    if (transposed_) {
        const T* in = kernel_ + (number * columns_ + first) * kernel_row_ + group * depth_;
        dispatch::active<T>().transpose(count, depth_, in, kernel_row_, out, width);
    } else {
        const T* in = kernel_ + number * depth_ * kernel_row_ + group * columns_ + first;
        for (index_t k = 0; k < depth_; ++k)
            std::memcpy(out + k * width, in + k * kernel_row_, static_cast<std::size_t>(count) * sizeof(T));
    }
    if (count == width) return;
    for (index_t k = 0; k < depth_; ++k) std::fill(out + k * width + count, out + (k + 1) * width, T(0));
}

template <class T>
PackedWeights<T>::PackedWeights(const WeightBlocks<T>& blocks, int num_threads)
    : layout_(blocks.layout(blocks.in_place())), group_stride_(blocks.blocks() * blocks.block_size()) {
    if (layout_.data) return;
    buffer_ = runtime::Buffer<T>(static_cast<std::size_t>(blocks.groups() * group_stride_));
    layout_.data = buffer_.data();
    const index_t taps = blocks.taps(), items = blocks.groups() * blocks.blocks() * taps;
    const double work = runtime::work_of_memory * static_cast<double>(items * blocks.tap_size());
    runtime::parallel_for(items, runtime::thread_count(items, work, num_threads), [&](index_t item, int) {
        const index_t tap = item % taps, block = item / taps % blocks.blocks();
        blocks.pack_tap(item / taps / blocks.blocks(), block, tap, buffer_.data() + item * blocks.tap_size());
    });
}

template <class T>
PackedWeights<T> PackedWeights<T>::diagonal(const Conv2dShape& s, const T* kernel) {
    PackedWeights packed;
    const int vectors = dispatch::active<T>().block_vectors;
    packed.layout_ = {
        kernel, vectors * dispatch::active<T>().lanes, s.kernel_width * s.in_channels, s.in_channels, 0, vectors,
        true};
    return packed;
}

template int block_vectors<float>(index_t);
template int block_vectors<double>(index_t);
template class WeightBlocks<float>;
template class WeightBlocks<double>;
template class PackedWeights<float>;
template class PackedWeights<double>;

}  // namespace fastconv::ops
