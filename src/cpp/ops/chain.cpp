#include "ops/chain.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "dispatch/kernels.hpp"
#include "runtime/block_pool.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::ops {
namespace {

constexpr index_t block_bytes = index_t{448} << 10;  // what lies between two layers, for a block of images
constexpr index_t most_images = 32;
constexpr double most_repeated_work = 2e5;  // multiply-adds that take two threads as long as to hand over a result

double work_of(const std::vector<std::unique_ptr<Stage>>& stages, index_t batch) {
    double work = 0;
    for (const auto& stage : stages) work += stage->multiplications() * static_cast<double>(batch);
    return work;
}

// Elements, rounded up so that two threads do not write to one pair of cache lines.
index_t apart(index_t elements) { return pieces(elements, 32) * 32; }

// The units that hold some elements.
Range units_with(Range elements, const Stage& stage) {
    const index_t size = stage.unit_size();
    return {elements.begin / size, pieces(elements.end, size)};
}

index_t largest_result(const std::vector<std::unique_ptr<Stage>>& stages) {
    index_t largest = 0;
    for (const auto& stage : stages) largest = std::max(largest, stage->out_size);
    return largest;
}

}  // namespace

Chain::Chain(std::vector<std::unique_ptr<Stage>> stages, std::vector<Weights> weights)
    : stages_(std::move(stages)), weights_(std::move(weights)) {}

bool Chain::is_prepared() const {
    return known_kernels_ == &dispatch::active_kernels() && known_precision_ == runtime::precision();
}

bool Chain::are_known(index_t part, index_t parts) const {
    const auto total = static_cast<index_t>(known_weights_.size());
    auto [begin, end] = runtime::share(total, static_cast<int>(part), static_cast<int>(parts));
    const float* known = known_weights_.data();
    for (const Weights& w : weights_) {
        const index_t first = std::clamp<index_t>(begin, 0, w.size), last = std::clamp<index_t>(end, 0, w.size);
        const auto bytes = static_cast<std::size_t>(last - first) * sizeof(float);
        if (std::memcmp(known + first, w.data + first, bytes) != 0) return false;
        known += w.size;
        begin -= w.size;
        end -= w.size;
    }
    return true;
}

void Chain::prepare(int num_threads) {
    std::vector<float> copy;
    for (const Weights& w : weights_) copy.insert(copy.end(), w.data, w.data + w.size);
    known_kernels_ = nullptr;  // until all is done: an exception must not leave half of it behind
    for (const auto& stage : stages_) stage->prepare(num_threads);
    groups_.clear();
    for (std::size_t i = 0; i < stages_.size(); ++i) {
        if (!groups_.empty() && is_worth_joining({groups_.back().first, i + 1}))
            groups_.back().last = i + 1;
        else
            groups_.push_back({i, i + 1});
    }
    known_weights_ = std::move(copy);
    known_precision_ = runtime::precision();
    known_kernels_ = &dispatch::active_kernels();
}

// The work that two threads do more than one.
bool Chain::is_worth_joining(Group group) const {
    double work = 0, twice = 0;
    for (std::size_t i = group.first; i < group.last; ++i) work += stages_[i]->multiplications();
    for (int part = 0; part < 2; ++part) {
        const auto [begin, end] = runtime::share(stages_[group.last - 1]->units(), part, 2);
        Range units{begin, end};
        for (std::size_t i = group.last; i-- > group.first;) {
            const Stage& stage = *stages_[i];
            twice += stage.multiplications() * static_cast<double>(units.size()) / static_cast<double>(stage.units());
            if (i > group.first) units = units_with(stage.reads(units), *stages_[i - 1]);
        }
    }
    return twice - work <= most_repeated_work;
}

void Chain::run(index_t batch, const float* x, float* y, int num_threads) {
    if (batch == 0) return;
    const int threads = runtime::thread_count(1 << 20, work_of(stages_, batch), num_threads);
    std::shared_lock shared(mutex_);
    while (!is_prepared() ||
           !(batch < 2 * threads ? run_by_parts(batch, x, y, threads) : run_by_blocks(batch, x, y, threads))) {
        shared.unlock();
        {
            const std::unique_lock alone(mutex_);
            if (!is_prepared() || !are_known(0, 1)) prepare(num_threads);
        }
        shared.lock();
    }
}

bool Chain::run_by_blocks(index_t batch, const float* x, float* y, int threads) const {
    if (!are_known(0, 1)) return false;
    const index_t between = largest_result(stages_), element = sizeof(float);
    index_t images = std::clamp<index_t>(block_bytes / std::max<index_t>(1, between * element), 1, most_images);
    images = std::min(images, pieces(batch, threads));
    index_t scratch_size = 0;
    for (const auto& stage : stages_) scratch_size = std::max(scratch_size, stage->scratch_size());
    const index_t thread_size = scratch_size + 2 * images * between;
    const runtime::Buffer<float> buffers(static_cast<std::size_t>(threads * thread_size));

    const index_t blocks = pieces(batch, images);
    runtime::parallel_for(blocks, threads, [&](index_t block, int thread) {
        const index_t first = block * images, count = std::min(images, batch - first);
        float* scratch = buffers.data() + thread * thread_size;
        float* results[2] = {scratch + scratch_size, scratch + scratch_size + images * between};
        const float* in = x + first * in_size();
        for (std::size_t i = 0; i < stages_.size(); ++i) {
            float* out = i + 1 == stages_.size() ? y + first * out_size() : results[i % 2];
            stages_[i]->run(count, {0, stages_[i]->units()}, in, out, scratch);
            in = out;
        }
    });
    return true;
}

bool Chain::run_units(std::size_t first, std::size_t stage, Range units, const float* x, float* y,
                      const Results& own) const {
    if (stage > first) {
        const Range before = units_with(stages_[stage]->reads(units), *stages_[stage - 1]);
        float* const between = stage % 2 ? own.odd : own.even;
        if (!run_units(first, stage - 1, before, x, between, own)) return false;
        x = between;
    }
    return stages_[stage]->run(1, units, x, y, own.scratch);
}

bool Chain::run_by_parts(index_t batch, const float* x, float* y, int threads) const {
    index_t scratch_size = 0;
    for (const auto& stage : stages_) scratch_size = std::max(scratch_size, apart(stage->scratch_size()));
    const index_t result_size = apart(largest_result(stages_)), thread_size = 2 * result_size + scratch_size;
    const runtime::Buffer<float> buffer(static_cast<std::size_t>(2 * batch * result_size + threads * thread_size));
    float* const shared = buffer.data() + threads * thread_size;
    std::atomic<bool> known = true;

    const float* in = x;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        const std::size_t first = groups_[g].first, end = groups_[g].last;
        const Stage& last = *stages_[end - 1];
        const index_t in_size = stages_[first]->in_size;
        float* const out = g + 1 == groups_.size() ? y : shared + static_cast<index_t>(g % 2) * batch * result_size;
        double work = 0;
        for (std::size_t i = first; i < end; ++i) work += stages_[i]->multiplications() * static_cast<double>(batch);
        const int sharing = std::min(threads, runtime::thread_count(batch * last.units(), work, threads));
        const auto own = [&](int thread) {
            float* const begin = buffer.data() + thread * thread_size;
            return Results{begin, begin + result_size, begin + 2 * result_size};
        };
        std::atomic<bool> done = true;
        runtime::parallel_for(sharing, sharing, [&](index_t part, int thread) {
            // Every time, as nothing tells of a change; here, as each thread compares its share.
            if (g == 0 && !are_known(part, sharing)) known.store(false, std::memory_order_relaxed);
            auto [unit, last_unit] = runtime::share(batch * last.units(), static_cast<int>(part), sharing);
            while (unit < last_unit) {
                const index_t n = unit / last.units(), before = n * last.units();
                const Range units{unit - before, std::min(last_unit - before, last.units())};
                if (!run_units(first, end - 1, units, in + n * in_size, out + n * last.out_size, own(thread)))
                    done.store(false, std::memory_order_relaxed);
                unit = before + units.end;
            }
        });
        if (!known) return false;
        for (index_t n = 0; !done && n < batch; ++n)
            run_units(first, end - 1, {0, last.units()}, in + n * in_size, out + n * last.out_size, own(0));
        in = out;
    }
    return true;
}

}  // namespace fastconv::ops
