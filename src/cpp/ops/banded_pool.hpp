// Fused convolution and pooling of any kind: the convolution's rows that a band of pooled rows reads are computed
// into a buffer that stays in the cache of the thread, then pooled. Rows and columns that no window reads are not
// computed.
#pragma once

#include <vector>

#include "ops/contraction.hpp"
#include "ops/conv2d_pool2d.hpp"
#include "ops/packing.hpp"
#include "ops/pooling.hpp"

namespace fastconv::ops {

template <class T>
class BandedPool {
  public:
    BandedPool(const Conv2dShape& conv, const Pool2dShape& pool, const T* kernel, int num_threads);

    // Pooled rows that a buffer of moderate size allows at once.
    index_t rows_at_once() const;
    // Elements of buffer for that many pooled rows.
    index_t buffer_size(index_t rows) const;

    // One band of one image, of which x, y and the maxima are the beginnings.
    void run(Range rows, const T* x, const T* bias, Activation activation, T* y, Maxima maxima, T* buffer) const;
    // The rows of the convolution that pooled rows read.
    Range rows_read(Range pooled) const;

  private:
    Conv2dShape conv_;
    Pool2dShape pool_;
    PoolingStrips strips_;
    PackedWeights<T> weights_;
    Strides out_;
    std::vector<Contraction<T>> groups_;
};

}  // namespace fastconv::ops
