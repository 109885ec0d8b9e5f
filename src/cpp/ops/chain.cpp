#include "ops/chain.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "dispatch/kernels.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{448} << 10;  // what lies between two layers, for a block of images
constexpr index_t most_images = 32;

double work_of(const std::vector<std::unique_ptr<Stage>>& stages, index_t batch) {
    double work = 0;
    for (const auto& stage : stages) work += stage->multiplications() * static_cast<double>(batch);
    return work;
}

index_t largest_result(const std::vector<std::unique_ptr<Stage>>& stages) {
    index_t largest = 0;
    for (const auto& stage : stages) largest = std::max(largest, stage->out_size);
    return largest;
}

}  // namespace

Chain::Chain(std::vector<std::unique_ptr<Stage>> stages, std::vector<Weights> weights)
    : stages_(std::move(stages)), weights_(std::move(weights)) {}

bool Chain::is_current(bool split) const {
    const bool strict = runtime::precision() == runtime::Precision::strict;
    if (known_kernels_ != &dispatch::active_kernels() || known_strict_ != strict || known_split_ != split)
        return false;
    const float* known = known_weights_.data();
    for (const Weights& w : weights_) {
        if (std::memcmp(known, w.data, static_cast<std::size_t>(w.size) * sizeof(float)) != 0) return false;
        known += w.size;
    }
    return true;
}

void Chain::prepare(bool split, index_t batch, int num_threads) {
    std::vector<float> copy;
    for (const Weights& w : weights_) copy.insert(copy.end(), w.data, w.data + w.size);
    known_kernels_ = nullptr;  // until all is done: an exception must not leave half of it behind
    for (const auto& stage : stages_) stage->prepare(batch, num_threads);
    known_weights_ = std::move(copy);
    known_strict_ = runtime::precision() == runtime::Precision::strict;
    known_split_ = split;
    known_kernels_ = &dispatch::active_kernels();
}

void Chain::run(index_t batch, const float* x, float* y, int num_threads) {
    if (batch == 0) return;
    const int threads = runtime::thread_count(1 << 20, work_of(stages_, batch), num_threads);
    const bool split = batch < 2 * threads;
    std::shared_lock shared(mutex_);
    while (!is_current(split)) {
        shared.unlock();
        {
            const std::unique_lock alone(mutex_);
            if (!is_current(split)) prepare(split, split ? 1 : batch, num_threads);
        }
        shared.lock();
    }
    if (split)
        run_by_stages(batch, x, y, num_threads);
    else
        run_by_blocks(batch, x, y, threads);
}

void Chain::run_by_blocks(index_t batch, const float* x, float* y, int threads) const {
    const index_t between = largest_result(stages_), element = sizeof(float);
    index_t images = std::clamp<index_t>(block_bytes / std::max<index_t>(1, between * element), 1, most_images);
    images = std::min(images, (batch + threads - 1) / threads);
    index_t scratch_size = 0;
    for (const auto& stage : stages_) scratch_size = std::max(scratch_size, stage->scratch_size(images));
    const index_t thread_size = scratch_size + 2 * images * between;
    const runtime::Buffer<float> buffers(static_cast<std::size_t>(threads * thread_size));

    const index_t blocks = (batch + images - 1) / images;
    runtime::parallel_for(blocks, threads, [&](index_t block, int thread) {
        const index_t first = block * images, count = std::min(images, batch - first);
        float* scratch = buffers.data() + thread * thread_size;
        float* results[2] = {scratch + scratch_size, scratch + scratch_size + images * between};
        const float* in = x + first * in_size();
        for (std::size_t i = 0; i < stages_.size(); ++i) {
            float* out = i + 1 == stages_.size() ? y + first * out_size() : results[i % 2];
            stages_[i]->run(count, 0, 1, in, out, scratch);
            in = out;
        }
    });
}

void Chain::run_by_stages(index_t batch, const float* x, float* y, int num_threads) const {
    const index_t between = largest_result(stages_);
    const runtime::Buffer<float> results(static_cast<std::size_t>(2 * batch * between));
    const float* in = x;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
        const Stage& stage = *stages_[i];
        float* out = i + 1 == stages_.size() ? y : results.data() + static_cast<index_t>(i % 2) * batch * between;
        const double work = stage.multiplications() * static_cast<double>(batch);
        const int threads = runtime::thread_count(batch * stage.parts(), work, num_threads);
        const index_t parts = std::min<index_t>(stage.parts(), (threads + batch - 1) / batch);
        const index_t scratch_size = stage.scratch_size(1);
        const runtime::Buffer<float> scratch(static_cast<std::size_t>(threads * scratch_size));
        runtime::parallel_for(batch * parts, threads, [&](index_t item, int thread) {
            const index_t n = item / parts;
            stage.run(1, item % parts, parts, in + n * stage.in_size, out + n * stage.out_size,
                      scratch.data() + thread * scratch_size);
        });
        in = out;
    }
}

}  // namespace fastconv::ops
