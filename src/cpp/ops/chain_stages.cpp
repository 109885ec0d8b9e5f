// The layers that a Chain knows, on the same drivers as the single operations.
#include <algorithm>
#include <optional>

#include "ops/banded_pool.hpp"
#include "ops/chain.hpp"
#include "ops/depthwise.hpp"
#include "ops/packing.hpp"
#include "ops/pooling.hpp"
#include "ops/right_factor.hpp"
#include "ops/tiled_pool.hpp"
#include "ops/winograd_conv2d.hpp"
#include "ops/winograd_parts.hpp"

namespace fastconv::ops {
namespace {

// Where in an image the rows lie that windows at `rows` read.
Range elements_read(Range rows, index_t stride, index_t pad, index_t window, index_t dilation, index_t in_height,
                    index_t row_size) {
    const index_t begin = std::max<index_t>(0, rows.begin * stride - pad);
    const index_t end = std::min(in_height, (rows.end - 1) * stride - pad + (window - 1) * dilation + 1);
    return {begin * row_size, std::max(begin, end) * row_size};
}

Range elements_read(Range rows, const Conv2dShape& s) {
    return elements_read(rows, s.stride_height, s.pad_top, s.kernel_height, s.dilation_height, s.in_height,
                         s.in_width * s.in_channels);
}

class ConvPoolStage : public Stage {
  public:
    ConvPoolStage(const Conv2dShape& conv, const Pool2dShape& pool, const float* kernel, const float* bias,
                  Activation activation)
        : Stage(conv.input_size(), pool.output_size()),
          conv_(conv),
          pool_(pool),
          kernel_(kernel),
          bias_(bias),
          activation_(activation) {}

    void prepare(int num_threads) override {
        banded_.emplace(conv_, pool_, kernel_, num_threads);
        tiled_.reset();
        if (auto tiled = TiledPool<float>::make(conv_, pool_, kernel_, bias_, 1))
            tiled_.emplace(std::move(*tiled)).prepare(1);
    }
    // A window, or a row of them.
    index_t unit_size() const override { return pool_.channels * pool_.out_width / a_row(); }
    Range reads(Range units) const override { return elements_read(banded_->rows_read(rows(units)), conv_); }
    index_t scratch_size() const override {
        return std::max(banded_->buffer_size(band()), tiled_ ? tiled_->buffer_size(band()) : 0);
    }
    bool run(index_t images, Range units, const float* x, float* y, float* scratch) const override {
        for (index_t n = 0; n < images; ++n, x += in_size, y += out_size) {
            for (index_t first = units.begin, last; first < units.end; first = last) {
                last = std::min(units.end, (first / a_row() + band()) * a_row());
                if (tiled_ && run_tiled({first, last}, x, y, scratch)) continue;
                if (!run_rows({first, last}, x, y, scratch)) return false;
            }
        }
        return true;
    }
    double multiplications() const override { return conv_.multiplications(); }

  private:
    index_t a_row() const { return tiled_ ? pool_.out_width : 1; }  // units of a row
    Range rows(Range units) const { return {units.begin / a_row(), pieces(units.end, a_row())}; }
    bool run_tiled(Range units, const float* x, float* y, float* scratch) const {
        return tiled_->run(units, {0, tiled_->blocks()}, x, activation_, y, nullptr, scratch, 0);
    }
    // Each row by the rule that its own values ask for, so that the bits do not depend on what is computed together.
    bool run_rows(Range units, const float* x, float* y, float* scratch) const {
        if (!tiled_) {
            banded_->run(units, x, bias_, activation_, y, {}, scratch);
            return true;
        }
        for (index_t first = units.begin, last; first < units.end; first = last) {
            last = std::min(units.end, (first / a_row() + 1) * a_row());
            if (run_tiled({first, last}, x, y, scratch)) continue;
            if (last - first < a_row()) return false;
            banded_->run(rows({first, last}), x, bias_, activation_, y, {}, scratch);
        }
        return true;
    }
    index_t band() const {
        return tiled_ ? std::min(tiled_->rows_at_once(), pool_.out_height) : banded_->rows_at_once();
    }

    Conv2dShape conv_;
    Pool2dShape pool_;
    const float *kernel_, *bias_;
    Activation activation_;
    std::optional<BandedPool<float>> banded_;
    std::optional<TiledPool<float>> tiled_;
};

class ConvStage : public Stage {
  public:
    ConvStage(const Conv2dShape& shape, const float* kernel, const float* bias, Activation activation)
        : Stage(shape.input_size(), shape.output_size()),
          shape_(shape),
          kernel_(kernel),
          bias_(bias),
          activation_(activation) {}

    void prepare(int num_threads) override {
        contractions_.clear();
        winograd_.reset();
        parts_.reset();
        depthwise_ = DepthwiseConv2d<float>::forward(shape_, kernel_, nullptr);
        if (depthwise_) return;
        weights_.emplace(conv2d_weights(shape_, kernel_, num_threads));
        contractions_ = conv2d_contractions(shape_, *weights_);
        if (auto winograd = WinogradConv2d<float>::forward(shape_, kernel_))
            winograd_.emplace(std::move(*winograd)).prepare(num_threads);
        if (auto parts = WinogradParts<float>::forward(shape_, kernel_)) parts_.emplace(std::move(*parts)).prepare();
    }
    // A row, or a row of Winograd's tiles.
    index_t unit_size() const override { return rows_of_unit() * shape_.out_width * shape_.out_channels; }
    Range reads(Range units) const override { return elements_read(rows(units), shape_); }
    index_t scratch_size() const override {
        return winograd_ ? winograd_->scratch_size() : parts_ ? parts_->scratch_size() : 0;
    }
    bool run(index_t images, Range units, const float* x, float* y, float* scratch) const override {
        // Rows of tiles are counted through all images, of which several are given as a whole.
        const auto run_tiles = [&](const auto& winograd) {
            const Range tile_rows = images == 1 ? units : Range{0, images * winograd.tile_rows()};
            winograd.run(tile_rows, contractions_, x, bias_, activation_, y, scratch);
            return true;
        };
        if (winograd_) return run_tiles(*winograd_);
        if (parts_) return run_tiles(*parts_);
        if (depthwise_) {
            for (index_t n = 0; n < images; ++n)
                depthwise_->run(rows(units), x + n * in_size, bias_, activation_, y + n * out_size);
            return true;
        }
        run_groups(contractions_, images, rows(units), x, y, 0, bias_, activation_);
        return true;
    }
    double multiplications() const override { return shape_.multiplications(); }

  private:
    index_t rows_of_unit() const { return winograd_ ? winograd_->rows_of_tile() : parts_ ? 2 : 1; }
    Range rows(Range units) const {
        return {units.begin * rows_of_unit(), std::min(units.end * rows_of_unit(), shape_.out_height)};
    }

    Conv2dShape shape_;
    const float *kernel_, *bias_;
    Activation activation_;
    std::optional<PackedWeights<float>> weights_;
    std::vector<Contraction<float>> contractions_;
    std::optional<DepthwiseConv2d<float>> depthwise_;
    std::optional<WinogradConv2d<float>> winograd_;
    std::optional<WinogradParts<float>> parts_;
};

class MaxPoolStage : public Stage {
  public:
    explicit MaxPoolStage(const Pool2dShape& shape)
        : Stage(shape.input_size(), shape.output_size()), shape_(shape), strips_(shape) {}

    void prepare(int) override {}
    index_t unit_size() const override { return shape_.out_width * shape_.channels; }  // a row
    Range reads(Range units) const override {
        return elements_read(units, shape_.stride_height, shape_.pad_top, shape_.pool_height, shape_.dilation_height,
                             shape_.in_height, shape_.in_width * shape_.channels);
    }
    index_t scratch_size() const override { return 0; }
    bool run(index_t images, Range units, const float* x, float* y, float*) const override {
        for (index_t n = 0; n < images; ++n, x += in_size, y += out_size)
            for (index_t row = units.begin; row < units.end; ++row)
                strips_.for_row(row, x, y, nullptr, nullptr, dispatch::active<float>().max_pool);
        return true;
    }
    double multiplications() const override {
        return static_cast<double>(out_size * shape_.pool_height * shape_.pool_width) / 4;
    }

  private:
    Pool2dShape shape_;
    PoolingStrips strips_;
};

class DenseStage : public Stage {
  public:
    DenseStage(index_t inputs, index_t units, const float* kernel, const float* bias, Activation activation)
        : Stage(inputs, units), kernel_(kernel), bias_(bias), activation_(activation) {}

    void prepare(int num_threads) override {
        matrix_.emplace(RightFactor<float>(out_size, in_size, kernel_, false), true, num_threads);
    }
    index_t unit_size() const override { return matrix_->width(); }
    Range reads(Range) const override { return {0, in_size}; }
    index_t scratch_size() const override { return 0; }
    bool run(index_t images, Range units, const float* x, float* y, float*) const override {
        matrix_->multiply(images, units, x, bias_, activation_, y);
        return true;
    }
    double multiplications() const override { return static_cast<double>(in_size) * static_cast<double>(out_size); }

  private:
    const float *kernel_, *bias_;
    Activation activation_;
    std::optional<PreparedMatrix<float>> matrix_;
};

}  // namespace

std::unique_ptr<Stage> conv2d_stage(const Conv2dShape& shape, const float* kernel, const float* bias,
                                    Activation activation) {
    return std::make_unique<ConvStage>(shape, kernel, bias, activation);
}
std::unique_ptr<Stage> conv2d_max_pool2d_stage(const Conv2dShape& conv, const Pool2dShape& pool, const float* kernel,
                                               const float* bias, Activation activation) {
    return std::make_unique<ConvPoolStage>(conv, pool, kernel, bias, activation);
}
std::unique_ptr<Stage> max_pool2d_stage(const Pool2dShape& shape) { return std::make_unique<MaxPoolStage>(shape); }
std::unique_ptr<Stage> dense_stage(index_t inputs, index_t units, const float* kernel, const float* bias,
                                   Activation activation) {
    return std::make_unique<DenseStage>(inputs, units, kernel, bias, activation);
}

}  // namespace fastconv::ops
