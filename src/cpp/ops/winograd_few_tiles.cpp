// WinogradConv2d transforms all weights before it uses them: 16.8 MB for 512 -> 512 channels, which are written, read
// and driven out of the caches for 16 tiles of 7x7 pixels. Here a thread has a block of columns to itself: it
// transforms some channels of its weights, multiplies all tiles by them, and overwrites them with the next. The sums
// stay in its cache.
#include "ops/winograd_few_tiles.hpp"

#include <algorithm>
#include <atomic>

#include "ops/packing.hpp"
#include "ops/winograd.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// More tiles repay the weights that are kept; fewer weights fit the second-level cache. Times as fast as
// WinogradConv2d, forward / input gradient, 1 thread, float32, AVX-512 on Zen 4:
//
//   7x7   512 -> 512, 16 tiles  1.35 / 1.3
//                     32 tiles  1.1  / 1.15
//                     64 tiles  1.0  / 1.1
//   14x14 256 -> 256, 49 tiles  1.05 / 1.1
constexpr index_t most_tiles = 49;
constexpr index_t fewest_bytes = index_t{2} << 20;  // of transformed weights
constexpr index_t slice = 64;                       // channels at once

template <class T>
class FewTiles {
  public:
    FewTiles(const Conv2dShape& s, Direction direction, const T* kernel)
        : s_(s),
          kernel_(kernel),
          transposed_(direction == Direction::input_gradient),
          channels_(transposed_ ? s.out_channels : s.in_channels),
          columns_(transposed_ ? s.in_channels : s.out_channels),
          in_(transposed_ ? TiledImages{s.out_height, s.out_width, s.out_channels, s.pad_top - 2, s.pad_left - 2}
                          : TiledImages{s.in_height, s.in_width, s.in_channels, -s.pad_top, -s.pad_left}),
          out_(transposed_ ? TiledImages{s.in_height, s.in_width, s.in_channels, 0, 0}
                           : TiledImages{s.out_height, s.out_width, s.out_channels, 0, 0}),
          grid_(TileGrid::of(out_.height, out_.width)),
          tiles_(s.batch * grid_.per_image()),
          vectors_(block_vectors<T>(columns_)),
          width_(vectors_ * dispatch::active<T>().lanes) {}

    bool pay() const {
        return s_.groups == 1 && channels_ >= slice && tiles_ <= most_tiles &&
               16 * channels_ * columns_ * static_cast<index_t>(sizeof(T)) >= fewest_bytes;
    }

    bool run(const T* x, const T* bias, Activation activation, T* y, int num_threads) const {
        const index_t slices = pieces(channels_, slice), blocks = pieces(columns_, width_);
        const index_t v_size = 16 * position_stride<T>(tiles_ * slice);
        const index_t taps = transposed_ ? 9 * slice * width_ : 0, u_size = 16 * u_stride();
        const index_t thread_size = taps + u_size + 16 * position_stride<T>(tiles_ * width_);
        const double work = 16 * static_cast<double>(tiles_) * static_cast<double>(channels_ * columns_);
        const int threads = runtime::thread_count(blocks, work, num_threads);
        const auto v = scratch_of_threads<T>(1, slices * v_size);
        const auto scratch = scratch_of_threads<T>(threads, thread_size);
        runtime::parallel_for(slices, std::min(threads, static_cast<int>(slices)), [&](index_t item, int) {
            transform_patches(dispatch::active<T>().winograd_input, grid_, in_, {0, tiles_}, channels_of(item), x,
                              v.data() + item * v_size);
        });
        std::atomic<bool> finite{true};
        runtime::parallel_for(blocks, threads, [&](index_t block, int thread) {
            T* const u = scratch.data() + thread * thread_size + taps;
            T* const m = u + u_size;
            for (index_t item = 0; item < slices; ++item) {
                transform_weights(block, channels_of(item), u - taps, u);
                multiply(block, channels_of(item), v.data() + item * v_size, u, m);
            }
            if (!transform_back(block, m, bias, activation, y)) finite = false;
        });
        return finite;
    }

  private:
    Range channels_of(index_t item) const { return {item * slice, std::min(channels_, (item + 1) * slice)}; }
    Range columns_of(index_t block) const { return {block * width_, std::min(columns_, (block + 1) * width_)}; }
    index_t u_stride() const { return position_stride<T>(slice * width_); }

    // u[position][channel][width]
    void transform_weights(index_t block, Range channels, T* taps, T* u) const {
        const auto& kernels = dispatch::active<T>();
        const Range columns = columns_of(block);
        const index_t row = s_.out_channels, tap_stride = s_.in_channels * row, copy_stride = slice * width_;
        kernels::WinogradWeights<T> op{taps,   copy_stride, width_, channels.size(), columns.size(),
                                       width_, true,        u,      u_stride(),      0};
        if (transposed_) {
            const T* from = kernel_ + columns.begin * row + channels.begin;
            for (index_t tap = 0; tap < 9; ++tap)
                kernels.transpose(columns.size(), channels.size(), from + tap * tap_stride, row,
                                  taps + tap * copy_stride, width_);
        } else {
            op.g = kernel_ + channels.begin * row + columns.begin;
            op.tap_stride = tap_stride;
            op.channel_stride = row;
            op.flip = false;
        }
        kernels.winograd_weights(op);
    }

    // m[position][tile][column] goes on by some channels.
    void multiply(index_t block, Range channels, const T* v, const T* u, T* m) const {
        static constexpr index_t no_offset[1] = {0};
        kernels::BatchReduce<T> product{};
        product.a_row_stride = product.depth = channels.size();
        product.a_depth_stride = product.count = 1;
        product.a_offsets = product.b_offsets = no_offset;
        product.b_depth_stride = width_;
        product.c_row_stride = product.columns = columns_of(block).size();
        product.rows = tiles_;
        product.block_vectors = vectors_;
        product.activation = Activation::linear;
        for (int position = 0; position < 16; ++position) {
            product.a = v + position * position_stride<T>(tiles_ * channels.size());
            product.b = u + position * u_stride();
            product.c = m + position * position_stride<T>(tiles_ * product.columns);
            product.start = channels.begin > 0 ? product.c : nullptr;
            dispatch::active<T>().batch_reduce(product);
        }
    }

    bool transform_back(index_t block, const T* m, const T* bias, Activation activation, T* y) const {
        const Range columns = columns_of(block);
        const Strides out = dense_strides(out_.height, out_.width, out_.channels);
        bool finite = true;
        grid_.for_runs({0, tiles_}, [&](index_t image, index_t row, index_t column, index_t count, index_t before) {
            finite &= dispatch::active<T>().winograd_output(
                {m + before * columns.size(), position_stride<T>(tiles_ * columns.size()), count, columns.size(),
                 bias ? bias + columns.begin : nullptr, activation,
                 y + image * out.image + 2 * row * out.row + 2 * column * out.pixel + columns.begin,
                 std::min<index_t>(2, out_.height - 2 * row), std::min(2 * count, out_.width - 2 * column), out.row,
                 out.pixel});
        });
        return finite;
    }

    const Conv2dShape& s_;
    const T* kernel_;
    bool transposed_;
    index_t channels_, columns_;  // that are summed, and of the result
    TiledImages in_, out_;
    TileGrid grid_;
    index_t tiles_;
    int vectors_;
    index_t width_;  // of a block of columns
};

}  // namespace

template <class T>
bool winograd_few_tiles_pay(const Conv2dShape& s, Direction direction) {
    return FewTiles<T>(s, direction, nullptr).pay() && winograd_pays<T>(s, direction);
}

template <class T>
bool winograd_few_tiles(const Conv2dShape& s, Direction direction, const T* x, const T* kernel, const T* bias,
                        Activation activation, T* y, int num_threads) {
    return FewTiles<T>(s, direction, kernel).run(x, bias, activation, y, num_threads);
}

template bool winograd_few_tiles_pay<float>(const Conv2dShape&, Direction);
template bool winograd_few_tiles_pay<double>(const Conv2dShape&, Direction);
template bool winograd_few_tiles(const Conv2dShape&, Direction, const float*, const float*, const float*, Activation,
                                 float*, int);
template bool winograd_few_tiles(const Conv2dShape&, Direction, const double*, const double*, const double*,
                                 Activation, double*, int);

}  // namespace fastconv::ops
