// Prediction as one call: a chain of layers whose weights are prepared once and kept as long as they do not change.
//
// Large batches are cut into blocks of images that run through all layers on one thread, so that what lies between
// two layers stays in that thread's cache. Images too few for that are cut into parts: each thread takes a part of
// what a group of layers gives through all of them, with what it needs of the layers between, the seams twice, as
// lines that go from one core's cache to another's cost more than computing them. Both give the bits of the single
// operations.
#pragma once

#include <memory>
#include <shared_mutex>
#include <vector>

#include "ops/contraction.hpp"
#include "ops/conv2d.hpp"
#include "ops/pool2d.hpp"
#include "runtime/settings.hpp"

namespace fastconv::kernels {
struct Kernels;
}

namespace fastconv::ops {

// A layer on float32 images; weights are views of arrays that the caller keeps alive.
class Stage {
  public:
    Stage(index_t in_size, index_t out_size) : in_size(in_size), out_size(out_size) {}
    virtual ~Stage() = default;

    // Brings the weights into the order of the active level.
    virtual void prepare(int num_threads) = 0;
    // Elements of a unit: an image's result consists of units, one after the other, that can be computed apart. The
    // last may be smaller.
    virtual index_t unit_size() const = 0;
    index_t units() const { return pieces(out_size, unit_size()); }
    // The elements of an image that some of its units read.
    virtual Range reads(Range units) const = 0;
    virtual index_t scratch_size() const = 0;
    // Some units of each image; of several images all of them. False, with y void, if something about these units
    // alone does not tell how to compute them; about all units it always does.
    virtual bool run(index_t images, Range units, const float* x, float* y, float* scratch) const = 0;
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
    struct Group {
        std::size_t first, last;  // stages [first, last)
    };
    struct Results {  // of two stages in turn, and scratch memory, of one thread
        float *even, *odd, *scratch;
    };

    bool is_prepared() const;
    // Whether part `part` of `parts` of the weights is what it was at the preparation.
    bool are_known(index_t part, index_t parts) const;
    void prepare(int num_threads);
    bool is_worth_joining(Group group) const;
    // False if the weights have changed: then y is void.
    bool run_by_blocks(index_t batch, const float* x, float* y, int threads) const;
    bool run_by_parts(index_t batch, const float* x, float* y, int threads) const;
    // Units of what stage `stage` makes of an image that goes in at stage `first`.
    bool run_units(std::size_t first, std::size_t stage, Range units, const float* x, float* y,
                   const Results& own) const;

    std::vector<std::unique_ptr<Stage>> stages_;
    std::vector<Weights> weights_;
    std::shared_mutex mutex_;  // held shared by runs, alone by preparation
    // What the stages were prepared for.
    std::vector<float> known_weights_;
    const kernels::Kernels* known_kernels_ = nullptr;
    runtime::Precision known_precision_{};
    std::vector<Group> groups_;
};

}  // namespace fastconv::ops
