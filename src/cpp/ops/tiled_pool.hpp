// Fused convolution and pooling where 2x2 windows tile the output: the kernels pool in registers and give codes.
#pragma once

#include <optional>

#include "ops/conv2d_pool2d.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::ops {

template <class T>
class TiledPool {
  public:
    // Nothing where no kernel serves the shape. `bias` may be null.
    static std::optional<TiledPool> make(const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel,
                                         const T* bias);

    index_t rows_at_once() const;
    index_t buffer_size(index_t rows) const;

    // As BandedPool::run, with codes. False, with nothing written, if a sum might not be finite: NaN needs the other.
    bool run(index_t first_row, index_t last_row, const T* x, Activation activation, T* y, std::uint8_t* codes,
             T* buffer) const;

  private:
    enum class Method { direct, winograd };

    TiledPool(Method method, const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel, const T* bias);
    void run_direct(index_t rows, const T* x, Activation activation, T* y, std::uint8_t* codes) const;
    void run_winograd(index_t rows, const T* x, Activation activation, T* y, std::uint8_t* codes, T* buffer) const;

    Method method_;
    Conv2dShape conv_;
    index_t windows_per_row_;
    index_t padded_width_;
    bool padded_;
    const T* kernel_;
    T safe_magnitude_;         // of the input: no sum overflows
    int block_vectors_;        // Winograd: of transformed weights
    runtime::Buffer<T> bias_;  // zeros for none
    runtime::Buffer<T> transformed_;
};

}  // namespace fastconv::ops
