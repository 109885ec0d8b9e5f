// The layers that a Chain knows, on the same drivers as the single operations.
#include <algorithm>
#include <optional>

#include "ops/banded_pool.hpp"
#include "ops/chain.hpp"
#include "ops/matmul.hpp"
#include "ops/packing.hpp"
#include "ops/pooling.hpp"
#include "ops/tiled_pool.hpp"
#include "ops/winograd_conv2d.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

Range part_of(index_t length, index_t part, index_t parts) {
    const auto [begin, end] = runtime::share(length, static_cast<int>(part), static_cast<int>(parts));
    return {begin, end};
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

    void prepare(index_t batch, int num_threads) override {
        Conv2dShape batched = conv_;
        batched.batch = batch;
        banded_.emplace(conv_, pool_, kernel_, num_threads);
        tiled_.reset();
        if (auto tiled = TiledPool<float>::make(batched, pool_, kernel_, bias_, num_threads))
            tiled_.emplace(std::move(*tiled));
    }
    index_t parts() const override { return tiled_ && tiled_->blocks() > 1 ? tiled_->blocks() : pool_.out_height; }
    index_t scratch_size(index_t) const override {
        return std::max(banded_->buffer_size(band()), tiled_ ? tiled_->buffer_size(band()) : 0);
    }
    void run(index_t images, index_t part, index_t parts, const float* x, float* y, float* scratch) const override {
        const bool by_blocks = tiled_ && tiled_->blocks() > 1;
        const Range blocks = tiled_ ? (by_blocks ? part_of(tiled_->blocks(), part, parts) : Range{0, 1}) : Range{};
        const Range all = by_blocks ? Range{0, pool_.out_height} : part_of(pool_.out_height, part, parts);
        for (index_t n = 0; n < images; ++n, x += in_size, y += out_size) {
            for (index_t row = all.begin; row < all.end; row += band()) {
                const Range rows{row, std::min(all.end, row + band())};
                if (tiled_ && tiled_->run(rows, blocks, x, activation_, y, nullptr, scratch)) continue;
                if (!by_blocks || part == 0) banded_->run(rows, x, bias_, activation_, y, {}, scratch);
            }
        }
    }
    double multiplications() const override { return conv_.multiplications(); }

  private:
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

    void prepare(index_t, int num_threads) override {
        contractions_.clear();
        weights_.emplace(conv2d_weights(shape_, kernel_, num_threads));
        contractions_ = conv2d_contractions(shape_, *weights_);
        winograd_.reset();
        if (auto winograd = WinogradConv2d<float>::forward(shape_, kernel_, num_threads))
            winograd_.emplace(std::move(*winograd));
    }
    index_t parts() const override { return winograd_ ? winograd_->tile_rows() : shape_.out_height; }
    index_t scratch_size(index_t) const override { return winograd_ ? winograd_->scratch_size() : 0; }
    void run(index_t images, index_t part, index_t parts, const float* x, float* y, float* scratch) const override {
        if (winograd_) {
            const Range rows = part_of(images * winograd_->tile_rows(), part, parts);
            return winograd_->run(rows, contractions_.front(), x, bias_, activation_, y, scratch);
        }
        const index_t depth = shape_.in_channels / groups(), filters = shape_.out_channels / groups();
        for (index_t g = 0; g < groups(); ++g) {
            const Contraction<float>& group = contractions_[static_cast<std::size_t>(g)];
            group.run(images, part_of(shape_.out_height, part, parts), {0, group.blocks()}, x + g * depth,
                      y + g * filters, 0, bias_ ? bias_ + g * filters : nullptr, activation_);
        }
    }
    double multiplications() const override { return shape_.multiplications(); }

  private:
    index_t groups() const { return static_cast<index_t>(contractions_.size()); }

    Conv2dShape shape_;
    const float *kernel_, *bias_;
    Activation activation_;
    std::optional<PackedWeights<float>> weights_;
    std::vector<Contraction<float>> contractions_;
    std::optional<WinogradConv2d<float>> winograd_;
};

class MaxPoolStage : public Stage {
  public:
    explicit MaxPoolStage(const Pool2dShape& shape)
        : Stage(shape.input_size(), shape.output_size()), shape_(shape), strips_(shape) {}

    void prepare(index_t, int) override {}
    index_t parts() const override { return shape_.out_height; }
    index_t scratch_size(index_t) const override { return 0; }
    void run(index_t images, index_t part, index_t parts, const float* x, float* y, float*) const override {
        const Range rows = part_of(shape_.out_height, part, parts);
        for (index_t n = 0; n < images; ++n, x += in_size, y += out_size)
            for (index_t row = rows.begin; row < rows.end; ++row)
                strips_.for_row(row, x, y, nullptr, nullptr, dispatch::active<float>().max_pool);
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

    void prepare(index_t, int num_threads) override {
        matrix_.emplace(out_size, in_size, kernel_, false, true, num_threads);
    }
    index_t parts() const override { return matrix_->blocks(); }
    index_t scratch_size(index_t) const override { return 0; }
    void run(index_t images, index_t part, index_t parts, const float* x, float* y, float*) const override {
        matrix_->multiply(images, part_of(matrix_->blocks(), part, parts), x, bias_, activation_, y);
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
