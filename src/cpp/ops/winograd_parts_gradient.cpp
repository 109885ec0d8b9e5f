// As WinogradParts, the other way (kernels/winograd_parts.hpp): for each entry and filter the sum over all tiles of
// the entry's transformed input times A g A^T at its position, then, for each tap, the sum over the entries that it
// is in.
//
// A block is the same tiles of a few rows that follow each other, both sides of which stay in the cache. Rows of
// tiles are cut into chunks with sums of their own by the shape alone, and these are added in order.
#include "ops/winograd_parts_gradient.hpp"

#include <algorithm>
#include <bit>

#include "ops/packing.hpp"
#include "ops/parts.hpp"
#include "ops/reduction.hpp"
#include "ops/winograd.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t most_block_rows = 4;                // of tiles
constexpr index_t most_chunks = 16, fewest_rows = 8;  // of tiles in a chunk: its sums are transformed back

// Times as fast as direct sums, measured and expected; Zen 4, float32, 1 thread, batch 1 to 16:
//
//   kernel                   AVX-512            AVX2               x86-64-v2
//   7x7/2    3 -> 64  224    1.1 - 1.25  1.16   1.25 - 1.4  1.27   1.45  1.33
//   11x11/4  3 -> 64  224    1.1 - 1.35  1.47   1.35        1.63   1.7   1.72
//   7x7      3 -> 64  112    1.2         1.16   1.5         1.27     -
//   6x6/2    4 -> 64   64    1.3         1.31   1.55        1.41     -
//
// (5x5, 3 -> 32 or 64: 0.85 and 1.0 with AVX-512, expected below 1.)
constexpr double tile_cost = 120, enough = 1.15;

template <class T>
class PartsGradient {
  public:
    PartsGradient(const Conv2dShape& s)
        : kernels_(dispatch::active<T>()),
          s_(s),
          input_(s),
          g_position_(position_stride<T>(most_block_rows * kernels::parts_tiles * s.out_channels)),
          sums_size_(input_.entries() * s.out_channels),
          rows_size_(input_.rows().count() * s.kernel_width * s.in_channels * s.out_channels) {}

    index_t all_rows() const { return s_.batch * input_.tile_rows(); }
    index_t buffer_size() const {
        const index_t size =
            input_.buffer_size() + most_block_rows * input_.v_size() + 16 * g_position_ + sums_size_ + rows_size_;
        return pieces(size, kernels::parts_tiles) * kernels::parts_tiles;
    }

    // dW of some rows of tiles, counted through all images.
    void run(Range rows, const T* x, const T* grad, T* dw, T* buffer) const {
        T* const v = buffer + input_.buffer_size();
        T* const g = v + most_block_rows * input_.v_size();
        T* const sums = g + 16 * g_position_;
        std::fill_n(sums, sums_size_, T(0));
        for (index_t first = rows.begin, last; first < rows.end; first = last) {
            const index_t image = first / input_.tile_rows(), row = first % input_.tile_rows();
            last = std::min(rows.end, (image + 1) * input_.tile_rows());
            const Range own{row, row + last - first};
            const T* const image_grad = grad + image * s_.out_height * s_.out_width * s_.out_channels;
            index_t held = 0;
            input_.for_tiles(
                x + image * s_.in_height * s_.in_width * s_.in_channels, input_.runs(), own, false, buffer,
                [&] { return v + held * input_.v_size(); },
                [&](index_t tile_row, Range run, const T*) {
                    const index_t pixel = s_.out_channels;
                    kernels_.winograd_gradient({image_grad, s_.out_height, s_.out_width, s_.out_width * pixel, pixel,
                                                2 * tile_row, 2 * run.begin, run.size(), pixel,
                                                g + held * kernels::parts_tiles * pixel, g_position_});
                    if (++held < most_block_rows && tile_row + 1 < own.end) return;
                    multiply(held, run.size(), v, g, sums);
                    held = 0;
                });
        }
        transform_back(sums, sums + sums_size_, dw);
    }

  private:
    void multiply(index_t rows, index_t tiles, const T* v, const T* g, T* sums) const {
        const index_t columns = s_.out_channels;
        index_t a_offsets[most_block_rows], b_offsets[most_block_rows];
        for (index_t i = 0; i < rows; ++i) {
            a_offsets[i] = i * input_.v_size();
            b_offsets[i] = i * kernels::parts_tiles * columns;
        }
        kernels::BatchReduce<T> op{};
        op.a = v;
        op.a_row_stride = kernels::parts_tiles;
        op.a_depth_stride = 1;
        op.a_offsets = a_offsets;
        op.b_offsets = b_offsets;
        op.b_depth_stride = op.c_row_stride = op.columns = columns;
        op.block_vectors = block_vectors<T>(columns);
        op.b_block_stride = op.block_vectors * kernels_.lanes;
        op.count = rows;
        op.depth = tiles;
        op.accumulate = true;
        op.c = sums;
        for (index_t position = 0; position < 16; ++position) {
            op.rows = input_.depths()[position];
            op.b = g + position * g_position_;
            kernels_.batch_reduce(op);
            op.a += op.rows * kernels::parts_tiles;
            op.c += op.rows * columns;
        }
    }

    // The sums of a product, added to each of its taps, `step` apart.
    static void spread(const PartProduct& product, const T* in, index_t step, index_t size, T* out) {
        for (index_t i = 0; i < product.taps; ++i) {
            const T weight = static_cast<T>(product.weight[i]);
            if (weight == 0) continue;
            for (index_t k = 0; k < size; ++k) out[i * step + k] += weight * in[k];
        }
    }

    void transform_back(const T* sums, T* rows, T* dw) const {
        const index_t columns = s_.out_channels, tap = s_.in_channels * columns, kernel_row = s_.kernel_width * tap;
        std::fill_n(rows, rows_size_, T(0));
        T* first = rows;
        for (const auto& row_products : input_.rows().of) {
            T* const end = first + static_cast<index_t>(row_products.size()) * kernel_row;
            for (const auto& column_products : input_.columns().of)
                for (T* row = first; row < end; row += kernel_row)
                    for (const PartProduct& f : column_products) {
                        spread(f, sums, s_.stride_width * tap, tap, row + f.tap * tap);
                        sums += tap;
                    }
            first = end;
        }
        std::fill_n(dw, s_.kernel_size(), T(0));
        for (const auto& row_products : input_.rows().of)
            for (const PartProduct& r : row_products) {
                spread(r, rows, s_.stride_height * kernel_row, kernel_row, dw + r.tap * kernel_row);
                rows += kernel_row;
            }
    }

    const kernels::KernelsOf<T>& kernels_;
    Conv2dShape s_;
    PartsInput<T> input_;
    index_t g_position_, sums_size_, rows_size_;
};

}  // namespace

template <class T>
bool winograd_parts_kernel_gradient(const Conv2dShape& s, const T* x, const T* grad, T* dkernel, int num_threads) {
    if (s.batch == 0 || !parts_serve<T>(s) || parts_gain<T>(s, tile_cost) < enough) return false;
    const PartsGradient<T> gradient(s);
    const index_t rows = gradient.all_rows(), size = gradient.buffer_size(), kernel_size = s.kernel_size();
    const auto most = static_cast<std::uint64_t>(std::clamp<index_t>(rows / fewest_rows, 1, most_chunks));
    // A power of two, as many numbers of threads are.
    const Cut chunks(rows, pieces(rows, static_cast<index_t>(std::bit_floor(most))), 1);
    const int threads = runtime::thread_count(chunks.count, s.multiplications() / 2, num_threads);
    const auto buffers = scratch_of_threads<T>(threads, size);
    const runtime::Buffer<T> partials(static_cast<std::size_t>(chunks.count > 1 ? chunks.count * kernel_size : 0));
    T* const partial = chunks.count > 1 ? partials.data() : dkernel;
    runtime::parallel_for(chunks.count, threads, [&](index_t chunk, int thread) {
        gradient.run(chunks[chunk], x, grad, partial + chunk * kernel_size, buffers.data() + thread * size);
    });
    if (chunks.count == 1) return all_finite(kernel_size, dkernel, num_threads);
    return add_finite_partials(chunks.count, kernel_size, kernel_size, partial, dkernel, num_threads);
}

template bool winograd_parts_kernel_gradient(const Conv2dShape&, const float*, const float*, float*, int);
template bool winograd_parts_kernel_gradient(const Conv2dShape&, const double*, const double*, double*, int);

}  // namespace fastconv::ops
