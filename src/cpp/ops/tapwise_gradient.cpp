#include "ops/tapwise_gradient.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "dispatch/kernels.hpp"
#include "ops/axis.hpp"
#include "ops/contraction.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t z_bytes = index_t{512} << 10;  // half of a second-level cache
constexpr index_t widest = index_t{1} << 30;     // of the kernel that sums
constexpr int second_level = 2;                  // of the caches, to __builtin_prefetch
constexpr index_t blocks_of_group = 4;           // of pixels, so that the last, smaller one counts little

// The axes of dx, one for each residue of the position modulo the stride.
struct Axes {
    std::vector<Axis> rows, columns;

    explicit Axes(const Conv2dShape& s) {
        for (index_t i = 0; i < std::min(s.stride_height, s.in_height); ++i)
            rows.push_back(gradient_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height,
                                         s.dilation_height, s.pad_top, i));
        for (index_t j = 0; j < std::min(s.stride_width, s.in_width); ++j)
            columns.push_back(gradient_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.dilation_width,
                                            s.pad_left, j));
    }
};

// The vectors of pixels for which the tiles of `rows` rows have the most accumulators.
template <class T>
int pixel_vectors(index_t rows) {
    const auto& kernels = dispatch::active<T>();
    const auto accumulators = [&](int vectors) {
        const index_t tiles = pieces(rows, kernels.tile_rows[vectors - 1]);
        return static_cast<double>(rows * vectors) / static_cast<double>(tiles);
    };
    int best = 1;
    for (int vectors = 2; vectors <= kernels.block_vectors; ++vectors)
        if (accumulators(vectors) > accumulators(best)) best = vectors;
    return best;
}

// Outputs are taken in groups of rows, and a ring of groups in z holds what the next row of dx needs. grad is
// transposed block by block of pixels; the rows of W are read as they are.
template <class T>
class TapwiseGradient {
  public:
    TapwiseGradient(const Conv2dShape& s, const T* kernel, const T* bias, Activation activation, int num_threads,
                    Layout layout)
        : kernels_(dispatch::active<T>()),
          s_(s),
          kernel_(kernel),
          bias_(bias),
          activation_(activation),
          planar_(layout == Layout::channels_first),
          axes_(s) {
        plane_ = planar_ ? s.in_height * s.in_width : 1;
        kernel_row_ = s.kernel_width * s.in_channels;
        vectors_ = pixel_vectors<T>(s.kernel_height * kernel_row_);
        width_ = vectors_ * kernels_.lanes;
        phases_ = static_cast<index_t>(axes_.columns.size());
        reach_ = (s.kernel_height - 1) * s.dilation_height;

        set_group(std::min(s.out_height, pieces(blocks_of_group * width_, s.out_width)));
        const index_t smallest = group_;
        double least = waste();
        for (index_t rows = smallest + 1; rows < 2 * smallest + 4 && rows <= s.out_height; ++rows) {
            const index_t best = group_;
            set_group(rows);
            if (waste() < least && z_size() * static_cast<index_t>(sizeof(T)) <= z_bytes)
                least = waste();
            else
                set_group(best);
        }
        for (index_t p = 0; p < s.out_height; ++p)
            places_.push_back(p / group_ % groups_ * group_pixels_ + p % group_ * s.out_width);
        // Few images: a band of rows of dx or two for every thread.
        const int threads = runtime::thread_count(s.batch * s.in_height, s.multiplications(), num_threads);
        band_ = threads > 1 ? pieces(s.in_height, pieces(2 * threads, s.batch)) : s.in_height;
    }

    void run(const T* grad, T* dx, int num_threads) const {
        const index_t bands = pieces(s_.in_height, band_), items = s_.batch * bands;
        const int threads = runtime::thread_count(items, s_.multiplications(), num_threads);
        const index_t grad_image = s_.out_height * s_.out_width * s_.out_channels;
        const index_t dx_image = s_.in_height * s_.in_width * s_.in_channels;
        const index_t taps = s_.kernel_height * s_.kernel_width;
        const runtime::Buffer<T> buffers(static_cast<std::size_t>(threads * buffer_size()));
        const runtime::Buffer<kernels::ShiftedTerm> terms(static_cast<std::size_t>(threads * taps));
        runtime::parallel_for(items, threads, [&](index_t item, int thread) {
            const index_t image = item / bands, first = item % bands * band_;
            run_band({first, std::min(s_.in_height, first + band_)}, grad + image * grad_image, dx + image * dx_image,
                     buffers.data() + thread * buffer_size(), terms.data() + thread * taps);
        });
    }

  private:
    void set_group(index_t rows) {
        group_ = rows;
        group_pixels_ = pieces(rows * s_.out_width, kernels_.lanes) * kernels_.lanes;
        groups_ = 1 + pieces(pieces(reach_, s_.stride_height), rows);
        stride_ = groups_ * group_pixels_;
    }
    double waste() const { return static_cast<double>(group_pixels_) / static_cast<double>(group_); }

    index_t z_size() const { return s_.kernel_height * kernel_row_ * stride_ + 2 * kernels_.lanes; }
    index_t phase_stride() const { return pieces(s_.in_width, s_.stride_width); }
    index_t buffer_size() const {
        const index_t size = z_size() + s_.out_channels * width_ + phases_ * s_.in_channels * phase_stride();
        return pieces(size, kernels_.lanes) * kernels_.lanes;
    }
    // The rows of outputs that reach these rows of dx.
    Range outputs_reaching(Range rows) const {
        const index_t first = rows.begin + s_.pad_top - reach_;
        return {first <= 0 ? 0 : pieces(first, s_.stride_height),
                std::min(s_.out_height, (rows.end - 1 + s_.pad_top) / s_.stride_height + 1)};
    }

    // The kernel rows by which these rows of outputs reach these rows of dx.
    Range kernel_rows_between(Range outputs, Range rows) const {
        const index_t first = rows.begin + s_.pad_top - (outputs.end - 1) * s_.stride_height;
        const index_t last = rows.end - 1 + s_.pad_top - outputs.begin * s_.stride_height;
        return {first <= 0 ? 0 : pieces(first, s_.dilation_height),
                last < 0 ? 0 : std::min(s_.kernel_height, last / s_.dilation_height + 1)};
    }

    void run_band(Range rows, const T* grad, T* dx, T* buffer, kernels::ShiftedTerm* terms) const {
        T* z = buffer + kernels_.lanes;  // readable a vector before and beyond
        T* transposed = buffer + z_size();
        T* phases = transposed + s_.out_channels * width_;
        const Range outputs = outputs_reaching(rows);
        index_t h = rows.begin;
        for (index_t p = outputs.begin; p < outputs.end;) {
            const Range group{p, std::min(outputs.end, p + group_)};
            multiply(group, kernel_rows_between(group, rows), grad,
                     z + places_[static_cast<std::size_t>(p - outputs.begin)], transposed);
            p = group.end;
            // Rows of dx that no later output reaches.
            for (; h < rows.end && h + s_.pad_top < p * s_.stride_height; ++h)
                sum_row(h, outputs.begin, z, phases, terms, dx);
        }
        for (; h < rows.end; ++h) sum_row(h, outputs.begin, z, phases, terms, dx);
    }

    // A group of rows of outputs; z is where they begin.
    void multiply(Range outputs, Range taps, const T* grad, T* z, T* transposed) const {
        static constexpr index_t no_offset[1] = {0};
        kernels::BatchReduce<T> op{};
        op.a_row_stride = s_.out_channels;
        op.a_depth_stride = 1;
        op.a_offsets = op.b_offsets = no_offset;
        op.b = transposed;
        op.b_depth_stride = width_;
        op.count = 1;
        op.depth = s_.out_channels;
        op.c_row_stride = stride_;
        op.block_vectors = vectors_;
        const T* a = kernel_ + taps.begin * kernel_row_ * s_.out_channels;
        const index_t rows = std::max<index_t>(0, taps.size()) * kernel_row_;
        const index_t tiles = pieces(rows, kernels_.tile_rows[vectors_ - 1]);

        T* const first_row = z + taps.begin * kernel_row_ * stride_;
        const index_t pixels = outputs.size() * s_.out_width;
        const index_t begin = outputs.begin * s_.out_width, grad_plane = s_.out_height * s_.out_width;
        const T* next = grad + (planar_ ? begin : begin * s_.out_channels);
        for (index_t first = 0; tiles > 0 && first < pixels; first += width_) {
            const index_t count = std::min(width_, pixels - first);
            op.columns = pieces(count, kernels_.lanes) * kernels_.lanes;
            if (planar_) {
                for (index_t k = 0; k < s_.out_channels; ++k)
                    std::memcpy(transposed + k * width_, next + k * grad_plane + first,
                                static_cast<std::size_t>(count) * sizeof(T));
            } else {
                kernels_.transpose(count, s_.out_channels, next, s_.out_channels, transposed, width_);
                next += count * s_.out_channels;
            }
            // The block after the next comes from memory a part with each tile, not further than the second level:
            // the first one is full of this block and W.
            const index_t size = planar_ ? 0 : width_ * s_.out_channels;
            for (index_t row = 0, fetched = 0; row < rows; row += op.rows) {
                op.rows = std::min(pieces(rows, tiles), rows - row);
                op.a = a + row * s_.out_channels;
                op.c = first_row + row * stride_ + first;
                for (; fetched < size && fetched * rows < size * (row + op.rows); fetched += line)
                    __builtin_prefetch(next + size + fetched, 0, second_level);
                kernels_.batch_reduce(op);
            }
        }
    }

    void sum_row(index_t h, index_t first_output, const T* z, T* phases, kernels::ShiftedTerm* terms, T* dx) const {
        dx += h * s_.in_width * (planar_ ? 1 : s_.in_channels);
        const index_t residue = h % s_.stride_height, t = h / s_.stride_height;
        const index_t channels = s_.in_channels;
        const bool in_place = phases_ == 1 && (planar_ || channels == 1);
        kernels::ShiftedSum<T> op{};
        op.terms = terms;
        op.activation = activation_;
        for (index_t j = 0; j < phases_; ++j) {
            const Axis& columns = axes_.columns[static_cast<std::size_t>(j)];
            op.count = 0;
            for (const Tap& r : axes_.rows[static_cast<std::size_t>(residue)].taps) {
                const index_t p = t + r.offset;
                if (p < 0 || p >= s_.out_height) continue;
                const index_t row =
                    r.kernel_index * kernel_row_ * stride_ + places_[static_cast<std::size_t>(p - first_output)];
                for (const Tap& c : columns.taps)
                    terms[op.count++] = {row + c.kernel_index * channels * stride_ + c.offset,
                                         std::max<index_t>(0, -c.offset),
                                         std::min(columns.length, s_.out_width - c.offset)};
            }
            op.size = columns.length;
            for (index_t c = 0; c < channels; ++c) {
                op.x = z + c * stride_;
                op.start = bias_ ? bias_[c] : T(0);
                op.y = in_place ? dx + c * plane_ : phases + (j * channels + c) * phase_stride();
                kernels_.shifted_sum(op);
            }
        }
        if (in_place) return;
        // Phases and, in NHWC, channels alternate.
        const index_t whole = s_.in_width / phases_, rest = s_.in_width - whole * phases_;
        const index_t rows = planar_ ? 1 : channels, planes = channels / rows;
        for (index_t c = 0; c < planes; ++c) {
            const T* first = phases + c * phase_stride();
            T* out = dx + c * plane_;
            const index_t together = phases_ * rows;
            kernels_.transpose(together, whole, first, planes * phase_stride(), out, together);
            for (index_t i = 0; i < rest * rows; ++i)
                out[whole * together + i] = first[i * planes * phase_stride() + whole];
        }
    }

    static constexpr int line = 64 / sizeof(T);  // of the cache; also the most lanes of a vector

    const kernels::KernelsOf<T>& kernels_;
    const Conv2dShape& s_;
    const T* kernel_;
    const T* bias_;
    Activation activation_;
    bool planar_;    // NCHW
    index_t plane_;  // between the channels of dx
    Axes axes_;
    index_t kernel_row_;           // rows of z for one row of taps
    int vectors_;                  // of pixels in a block
    index_t width_;                // pixels in a block
    index_t phases_;               // residues of columns modulo the stride
    index_t reach_;                // rows from the first tap to the last
    index_t group_;                // rows of outputs
    index_t group_pixels_;         // in z, in whole vectors
    index_t groups_;               // in the ring
    index_t stride_;               // of the rows of z
    index_t band_;                 // rows of dx
    std::vector<index_t> places_;  // in a row of z, of each row of a band's outputs
};

}  // namespace

// Measured: up to half of the lanes, the other's idle lanes cost more than this one's two further passes, if sums
// have enough terms to pay for these; with one tap, up to a quarter.
template <class T>
bool tapwise_gradient_pays(const Conv2dShape& s) {
    const index_t lanes = dispatch::active<T>().lanes;
    const index_t share = s.kernel_height * s.kernel_width == 1 ? 4 : 2;
    return s.groups == 1 && s.in_channels * share <= lanes && s.out_channels * 2 >= lanes && s.output_size() > 0 &&
           s.in_width < widest;
}

template <class T>
void tapwise_input_gradient(const Conv2dShape& s, const T* grad, const T* kernel, const T* bias,
                            Activation activation, T* dx, int num_threads, Layout layout) {
    TapwiseGradient<T>(s, kernel, bias, activation, num_threads, layout).run(grad, dx, num_threads);
}

template bool tapwise_gradient_pays<float>(const Conv2dShape&);
template bool tapwise_gradient_pays<double>(const Conv2dShape&);
template void tapwise_input_gradient(const Conv2dShape&, const float*, const float*, const float*, Activation, float*,
                                     int, Layout);
template void tapwise_input_gradient(const Conv2dShape&, const double*, const double*, const double*, Activation,
                                     double*, int, Layout);

}  // namespace fastconv::ops
