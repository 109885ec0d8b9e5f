// Prediction as one call: a chain of layers whose weights are prepared once and kept as long as they do not change.
//
// Large batches are cut into blocks of images that run through all layers on one thread, so that what lies between
// two layers stays in that thread's cache; small ones share the work of each layer. Both give the bits of the single
// operations.
#pragma once

#include <memory>
#include <shared_mutex>
#include <vector>

#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"

namespace fastconv::kernels {
struct Kernels;
}

namespace fastconv::ops {

// A layer on float32 images; weights are views of arrays that the caller keeps alive.
class Stage {
  public:
    Stage(index_t in_size, index_t out_size) : in_size(in_size), out_size(out_size) {}
    virtual ~Stage() = default;

    // Brings the weights into the order of the active level, for batches of this size and number of threads.
    virtual void prepare(index_t batch, int num_threads) = 0;
    // Into how many parts the work on one image can be cut.
    virtual index_t parts() const { return 1; }
    virtual index_t scratch_size(index_t images) const = 0;
    // Part `part` of `parts` of the images.
    virtual void run(index_t images, index_t part, index_t parts, const float* x, float* y, float* scratch) const = 0;
    virtual double multiplications() const = 0;  // for one image

    const index_t in_size, out_size;  // elements of an image
};

// The shapes are those of one image (batch 1). `bias` may be null.
std::unique_ptr<Stage> conv2d_stage(const Conv2dShape& shape, const float* kernel, const float* bias,
                                    Activation activation);
std::unique_ptr<Stage> conv2d_max_pool2d_stage(const Conv2dShape& conv, const Pool2dShape& pool, const float* kernel,
                                               const float* bias, Activation activation);
std::unique_ptr<Stage> max_pool2d_stage(const Pool2dShape& shape);
std::unique_ptr<Stage> dense_stage(index_t inputs, index_t units, const float* kernel, const float* bias,
                                   Activation activation);

class Chain {
  public:
    struct Weights {  // of all stages, to see whether they changed
        const float* data;
        index_t size;
    };

    // Each stage takes what the one before gives; at least one.
    Chain(std::vector<std::unique_ptr<Stage>> stages, std::vector<Weights> weights);

    index_t in_size() const { return stages_.front()->in_size; }
    index_t out_size() const { return stages_.back()->out_size; }

    // From any number of threads at once, as long as nobody changes the weights meanwhile.
    void run(index_t batch, const float* x, float* y, int num_threads);

  private:
    bool is_current(bool split) const;
    void prepare(bool split, index_t batch, int num_threads);
    void run_by_blocks(index_t batch, const float* x, float* y, int threads) const;
    void run_by_stages(index_t batch, const float* x, float* y, int num_threads) const;

    std::vector<std::unique_ptr<Stage>> stages_;
    std::vector<Weights> weights_;
    std::shared_mutex mutex_;  // held shared by runs, alone by preparation
    // What the stages were prepared for.
    std::vector<float> known_weights_;
    const kernels::Kernels* known_kernels_ = nullptr;
    bool known_strict_ = false, known_split_ = false;
};

}  // namespace fastconv::ops
