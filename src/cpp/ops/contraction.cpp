#include "ops/contraction.hpp"

#include <algorithm>
#include <utility>

#include "ops/streaming.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

// Half of a second-level cache: what an item reads and writes, and separately a block's weights of one pass.
constexpr index_t item_bytes = index_t{512} << 10;
constexpr index_t many_items = 8;  // of a thread: one more or less does not matter
constexpr index_t pass_bytes = index_t{384} << 10;
// A tile of fewer accumulators than this waits for its own results (4 cycles, up to 2 started in each).
constexpr index_t busy_accumulators = 8;

struct Dimension {
    index_t length, in_stride, out_stride;
};

// Makes `inner` run through `outer` too where their elements follow each other.
void fold(Dimension& outer, Dimension& inner) {
    const bool adjacent =
        outer.in_stride == inner.length * inner.in_stride && outer.out_stride == inner.length * inner.out_stride;
    if (inner.length == 1) {
        inner = std::exchange(outer, {1, 0, 0});
    } else if (adjacent) {
        inner.length *= std::exchange(outer.length, 1);
    }
}

// Accumulator updates of one depth step for a strip, idle ones included.
index_t strip_cost(index_t length, index_t most_rows, index_t vectors) {
    const index_t tiles = (length + most_rows - 1) / most_rows;
    return std::max(length * vectors, tiles * busy_accumulators) + tiles;
}

}  // namespace

template <class T>
Contraction<T>::Contraction(Axis rows, Axis columns_axis, Strides in, Strides out, index_t depth, index_t columns,
                            const TapWeights<T>& weights, bool diagonal)
    : kernels_(dispatch::active<T>()),
      row_axis_(std::move(rows)),
      column_axis_(std::move(columns_axis)),
      in_(in),
      out_(out),
      columns_(columns),
      weights_(weights),
      diagonal_(diagonal),
      width_(weights.block_vectors * kernels_.lanes),
      depth_(depth) {
    const auto& row_taps = row_axis_.taps;
    const auto& column_taps = column_axis_.taps;
    const index_t taps = static_cast<index_t>(row_taps.size() * column_taps.size());

    // Weights of a block that outgrow the cache are summed in passes of fewer input channels.
    const index_t tap_bytes = std::max<index_t>(1, taps * width_ * static_cast<index_t>(sizeof(T)));
    const index_t passes = (depth_ * tap_bytes + pass_bytes - 1) / pass_bytes;
    pass_depth_ = std::max<index_t>(1, passes > 1 ? (depth_ + passes - 1) / passes : depth_);

    // Taps of a row that touch each other in memory are one long sum.
    touching_ = !diagonal_ && pass_depth_ == depth_ && in_.pixel == depth_;
    for (std::size_t j = 1; j < column_taps.size(); ++j)
        touching_ = touching_ && column_taps[j].offset == column_taps[j - 1].offset + 1;

    const auto weight_row = [&](index_t i) { return weights_.by_kernel_index ? row_taps[i].kernel_index : i; };
    const auto weight_column = [&](index_t j) { return weights_.by_kernel_index ? column_taps[j].kernel_index : j; };
    const auto row_segments = segments(row_axis_), column_segments = segments(column_axis_);
    rectangles_.reserve(row_segments.size() * column_segments.size());
    for (const Segment& r : row_segments) {
        for (const Segment& c : column_segments) {
            Rectangle rectangle{r, c, {}, {}};
            const index_t run = touching_ ? std::max<index_t>(1, c.last_tap - c.first_tap) : 1;
            const index_t runs = (c.last_tap - c.first_tap + run - 1) / run;
            const auto offsets = static_cast<std::size_t>((r.last_tap - r.first_tap) * runs);
            rectangle.in_offsets.reserve(offsets);
            rectangle.weight_offsets.reserve(offsets);
            for (index_t i = r.first_tap; i < r.last_tap; ++i) {
                for (index_t j = c.first_tap; j < c.last_tap; j += run) {
                    rectangle.in_offsets.push_back(row_taps[i].offset * in_.row + column_taps[j].offset * in_.pixel);
                    rectangle.weight_offsets.push_back(weight_row(i) * weights_.tap_row_stride +
                                                       weight_column(j) * weights_.tap_column_stride);
                }
            }
            rectangles_.push_back(std::move(rectangle));
        }
    }
}

template <class T>
void Contraction<T>::run(index_t images, Range rows, Range blocks, const T* in, T* out, index_t first_row,
                         const T* bias, Activation activation, bool stream) const {
    for (index_t block = blocks.begin; block < blocks.end; ++block)
        run_block(images, rows, block, weights_.data + block * weights_.block_stride, in, out - first_row * out_.row,
                  bias, activation, stream);
}

template <class T>
void Contraction<T>::run_block(index_t images, index_t block, const T* weights, const T* in, T* out, const T* bias,
                               Activation activation) const {
    run_block(images, {0, row_count()}, block, weights, in, out, bias, activation, false);
}

template <class T>
void Contraction<T>::run_block(index_t images, Range rows, index_t block, const T* weights, const T* in, T* origin,
                               const T* bias, Activation activation, bool stream) const {
    kernels::BatchReduce<T> op{};
    op.stream = stream;
    op.a_depth_stride = 1;
    op.b_block_stride = weights_.block_stride;
    op.b_depth_stride = weights_.depth_stride;
    op.block_vectors = weights_.block_vectors;
    const index_t column = block * width_;
    op.columns = std::min(width_, columns_ - column);
    for (index_t first = 0; first < std::max<index_t>(1, depth_); first += pass_depth_) {
        const bool last_pass = first + pass_depth_ >= depth_;
        op.accumulate = first > 0;
        op.bias = last_pass && bias ? bias + column : nullptr;
        op.activation = last_pass ? activation : Activation::linear;
        op.b = weights + first * weights_.depth_stride;
        for (const Rectangle& rectangle : rectangles_) {
            const index_t run = rectangle.columns.last_tap - rectangle.columns.first_tap;
            op.depth = touching_ ? run * depth_ : std::min(pass_depth_, depth_ - first);
            run_rectangle(rectangle, rows, images, in + (diagonal_ ? column : first), origin + column, op);
        }
    }
}

template <class T>
bool Contraction<T>::writes_whole_lines() const {
    const auto whole = [](index_t elements) { return elements * static_cast<index_t>(sizeof(T)) % stream_line == 0; };
    return !diagonal_ && pass_depth_ >= depth_ && whole(columns_) && whole(width_) && whole(out_.pixel) &&
           whole(out_.row) && whole(out_.image);
}

template <class T>
void Contraction<T>::run_rectangle(const Rectangle& rectangle, Range rows, index_t images, const T* in, T* out,
                                   kernels::BatchReduce<T> op) const {
    const index_t begin = std::max(rows.begin, rectangle.rows.begin), end = std::min(rows.end, rectangle.rows.end);
    const index_t left = rectangle.columns.begin, right = rectangle.columns.end;
    if (begin >= end || left >= right) return;

    in += begin * row_axis_.in_step * in_.row + left * column_axis_.in_step * in_.pixel;
    out += (row_axis_.out_start + begin * row_axis_.out_step) * out_.row +
           (column_axis_.out_start + left * column_axis_.out_step) * out_.pixel;
    Dimension dimensions[3] = {
        {images, in_.image, out_.image},
        {end - begin, row_axis_.in_step * in_.row, row_axis_.out_step * out_.row},
        {right - left, column_axis_.in_step * in_.pixel, column_axis_.out_step * out_.pixel},
    };
    fold(dimensions[1], dimensions[2]);
    fold(dimensions[0], dimensions[1]);
    fold(dimensions[1], dimensions[2]);

    const index_t vectors = (op.columns + kernels_.lanes - 1) / kernels_.lanes;
    const index_t most_rows = kernels_.tile_rows[std::min<index_t>(vectors, op.block_vectors) - 1];
    const auto cost = [&](const Dimension& d) {
        return static_cast<double>(strip_cost(d.length, most_rows, vectors)) / static_cast<double>(d.length);
    };
    int along = 2;
    for (int d = 1; d >= 0; --d)
        if (cost(dimensions[d]) < cost(dimensions[along])) along = d;
    const Dimension strip = dimensions[along];
    const Dimension outer = dimensions[along == 0 ? 1 : 0], inner = dimensions[along == 2 ? 1 : 2];

    op.a_offsets = rectangle.in_offsets.data();
    op.b_offsets = rectangle.weight_offsets.data();
    op.count = static_cast<index_t>(rectangle.in_offsets.size());
    op.from_memory = op.count == 1;
    op.a_row_stride = strip.in_stride;
    op.c_row_stride = strip.out_stride;
    op.rows = strip.length;
    const auto kernel = diagonal_ ? kernels_.batch_reduce_diagonal : kernels_.batch_reduce;
    for (index_t i = 0; i < outer.length; ++i) {
        for (index_t j = 0; j < inner.length; ++j) {
            op.a = in + i * outer.in_stride + j * inner.in_stride;
            op.c = out + i * outer.out_stride + j * inner.out_stride;
            kernel(op);
        }
    }
}

namespace {

template <class T>
void run_group(const std::vector<Contraction<T>>& groups, index_t g, index_t images, Range rows, Range blocks,
               const T* in, T* out, index_t first_row, const T* bias, Activation activation, bool stream = false) {
    const Contraction<T>& group = groups[static_cast<std::size_t>(g)];
    const index_t column = g * group.columns();
    group.run(images, rows, blocks, in + g * group.channels(), out + column, first_row,
              bias ? bias + column : nullptr, activation, stream);
}

}  // namespace

template <class T>
void run_groups(const std::vector<Contraction<T>>& groups, index_t images, Range rows, const T* in, T* out,
                index_t first_row, const T* bias, Activation activation) {
    const index_t count = static_cast<index_t>(groups.size());
    for (index_t g = 0; g < count; ++g)
        run_group(groups, g, images, rows, {0, groups.front().blocks()}, in, out, first_row, bias, activation);
}

template <class T>
void run_all(const std::vector<Contraction<T>>& groups, index_t batch, Strides in, Strides out, const T* x, T* y,
             const T* bias, Activation activation, double work, int num_threads, Layout layout) {
    const Contraction<T>& shape = groups.front();
    const index_t rows = shape.row_count(), group_blocks = shape.blocks();
    const index_t count = static_cast<index_t>(groups.size()), blocks = count * group_blocks;
    if (batch == 0 || rows == 0 || blocks == 0) return;
    const int threads = runtime::thread_count(batch * rows * blocks, work, num_threads);

    // As many whole images as fit the cache, or bands of rows of one; then smaller until every thread has two
    // items to even the load.
    const index_t image_bytes = (in.image + out.image) / count * static_cast<index_t>(sizeof(T));
    const index_t wanted = threads > 1 ? 2 * threads : 1;
    index_t images = std::clamp<index_t>(item_bytes / std::max<index_t>(1, image_bytes), 1, 16);
    images = std::clamp<index_t>(batch * count / wanted, 1, images);
    const index_t image_items = pieces(batch, images);
    const index_t runs = image_items * count;
    index_t bands = std::max(pieces(image_bytes, item_bytes), pieces(wanted, runs));
    // As many items for each thread: 4 and 3 of 7 would be a loss of 14 %. Several images are not cut into bands.
    if (images == 1 && runs * bands < many_items * threads && runs % threads != 0)
        bands = pieces(bands, threads) * threads;
    bands = std::min(bands, rows);
    const index_t block_items = std::min(group_blocks, pieces(wanted, runs * bands));

    const bool turned = layout == Layout::channels_first;
    const bool stream = !turned && shape.writes_whole_lines() &&
                        streams(y, batch * rows * out.row * static_cast<index_t>(sizeof(T)), streamed_bytes_of_sums);
    const index_t pixels = out.row / std::max<index_t>(1, out.pixel), columns = shape.columns();
    const index_t bank_size = turned ? images * pieces(rows, bands) * out.row : 0;
    const runtime::Buffer<T> banks(static_cast<std::size_t>(threads * bank_size));
    runtime::parallel_for(runs * bands * block_items, threads, [&](index_t item, int thread) {
        const Range block_range = equal_part(group_blocks, item % block_items, block_items);
        const Range band_rows = equal_part(rows, item / block_items % bands, bands);
        const index_t image = item / block_items / bands % image_items * images;
        const index_t group = item / block_items / bands / image_items;
        const index_t run_images = std::min(images, batch - image);
        const T* const from = x + image * in.image;
        if (!turned)
            return run_group(groups, group, run_images, band_rows, block_range, from, y + image * out.image, 0, bias,
                             activation, stream);
        // In the cache, and turned from there to y.
        T* const bank = banks.data() + thread * bank_size;
        run_group(groups, group, run_images, band_rows, block_range, from, bank, band_rows.begin, bias, activation);
        const index_t first = block_range.begin * shape.width();
        const index_t used = std::min(columns, block_range.end * shape.width()) - first,
                      channel = group * columns + first;
        for (index_t n = 0; n < run_images; ++n)
            dispatch::active<T>().transpose(
                band_rows.size() * pixels, used, bank + n * out.image + channel, out.pixel,
                y + ((image + n) * count * columns + channel) * rows * pixels + band_rows.begin * pixels,
                rows * pixels);
    });
}

template class Contraction<float>;
template class Contraction<double>;
template void run_groups(const std::vector<Contraction<float>>&, index_t, Range, const float*, float*, index_t,
                         const float*, Activation);
template void run_groups(const std::vector<Contraction<double>>&, index_t, Range, const double*, double*, index_t,
                         const double*, Activation);
template void run_all(const std::vector<Contraction<float>>&, index_t, Strides, Strides, const float*, float*,
                      const float*, Activation, double, int, Layout);
template void run_all(const std::vector<Contraction<double>>&, index_t, Strides, Strides, const double*, double*,
                      const double*, Activation, double, int, Layout);

}  // namespace fastconv::ops
