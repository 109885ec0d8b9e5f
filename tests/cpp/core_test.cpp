// The core without Python: every level that this machine runs, against plain loops on small integers, where any order
// of additions gives the same bits. Made for machines that are only emulated; the full suite is in Python.
#include <atomic>
#include <cstdio>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "dispatch/isa.hpp"
#include "ops/conv2d.hpp"
#include "ops/conv2d_pool2d.hpp"
#include "ops/matmul.hpp"
#include "ops/pool2d.hpp"
#include "runtime/parallel.hpp"

using fastconv::Activation;
using fastconv::index_t;
namespace ops = fastconv::ops;

namespace {

int failures = 0;
index_t compared = 0;

template <class T>
std::vector<T> integers(index_t size, unsigned seed) {
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values) {
        seed = seed * 1664525u + 1013904223u;
        value = static_cast<T>(static_cast<int>(seed >> 24) % 7 - 3);
    }
    return values;
}

template <class T>
void expect_equal(const char* what, const std::vector<T>& received, const std::vector<T>& expected) {
    index_t different = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) different += received[i] != expected[i];
    compared += static_cast<index_t>(expected.size());
    if (different == 0) return;
    ++failures;
    std::printf("%s on %s: %lld of %zu values differ\n", what, fastconv::dispatch::active_isa().c_str(),
                static_cast<long long>(different), expected.size());
}

// Calls body(x index, kernel index, y index) for every product of the convolution.
template <class Body>
void for_each_product(const ops::Conv2dShape& s, const Body& body) {
    const index_t depth = s.group_in_channels(), filters = s.group_out_channels();
    for (index_t n = 0; n < s.batch; ++n)
        for (index_t p = 0; p < s.out_height; ++p)
            for (index_t q = 0; q < s.out_width; ++q)
                for (index_t r = 0; r < s.kernel_height; ++r)
                    for (index_t t = 0; t < s.kernel_width; ++t) {
                        const index_t h = p * s.stride_height + r * s.dilation_height - s.pad_top;
                        const index_t w = q * s.stride_width + t * s.dilation_width - s.pad_left;
                        if (h < 0 || h >= s.in_height || w < 0 || w >= s.in_width) continue;
                        for (index_t c = 0; c < depth; ++c)
                            for (index_t k = 0; k < s.out_channels; ++k)
                                body(((n * s.in_height + h) * s.in_width + w) * s.in_channels + k / filters * depth +
                                         c,
                                     ((r * s.kernel_width + t) * depth + c) * s.out_channels + k,
                                     ((n * s.out_height + p) * s.out_width + q) * s.out_channels + k);
                    }
}

template <class T>
void test_conv2d(const ops::Conv2dShape& s, int threads) {
    const auto x = integers<T>(s.input_size(), 1), w = integers<T>(s.kernel_size(), 2);
    const auto g = integers<T>(s.output_size(), 3);
    std::vector<T> y(g.size()), dx(x.size()), dw(w.size());
    auto y_expected = y, dx_expected = dx, dw_expected = dw;
    for_each_product(s, [&](index_t i, index_t j, index_t o) {
        y_expected[o] += x[i] * w[j];
        dx_expected[i] += g[o] * w[j];
        dw_expected[j] += x[i] * g[o];
    });
    ops::conv2d<T>(s, x.data(), w.data(), nullptr, Activation::linear, y.data(), threads);
    ops::conv2d_input_gradient<T>(s, g.data(), w.data(), nullptr, Activation::linear, dx.data(), threads);
    ops::conv2d_kernel_gradient<T>(s, x.data(), g.data(), dw.data(), threads);
    expect_equal("conv2d", y, y_expected);
    expect_equal("conv2d_input_gradient", dx, dx_expected);
    expect_equal("conv2d_kernel_gradient", dw, dw_expected);
}

// NaN reaches the sums that read it, which are computed anew by all threads.
template <class T>
void test_conv2d_of_nan(const ops::Conv2dShape& s, int threads) {
    auto x = integers<T>(s.input_size(), 12), g = integers<T>(s.output_size(), 13);
    const auto w = integers<T>(s.kernel_size(), 14);
    x[x.size() / 2] = g[g.size() / 2] = std::numeric_limits<T>::quiet_NaN();
    std::vector<T> y(g.size()), dx(x.size());
    auto y_expected = y, dx_expected = dx;
    for_each_product(s, [&](index_t i, index_t j, index_t o) {
        y_expected[o] += x[i] * w[j];
        dx_expected[i] += g[o] * w[j];
    });
    ops::conv2d<T>(s, x.data(), w.data(), nullptr, Activation::linear, y.data(), threads);
    ops::conv2d_input_gradient<T>(s, g.data(), w.data(), nullptr, Activation::linear, dx.data(), threads);
    const T nan = 1 << 20;  // that is equal to itself
    for (auto* values : {&y, &dx, &y_expected, &dx_expected})
        for (T& value : *values)
            if (value != value) value = nan;
    expect_equal("conv2d of NaN", y, y_expected);
    expect_equal("conv2d_input_gradient of NaN", dx, dx_expected);
}

template <class T>
void test_matmul(index_t m, index_t n, index_t k, bool transpose_a, bool transpose_b, int threads) {
    const auto a = integers<T>(m * k, 4), b = integers<T>(k * n, 5);
    std::vector<T> c(static_cast<std::size_t>(m * n)), expected = c;
    for (index_t i = 0; i < m; ++i)
        for (index_t j = 0; j < n; ++j)
            for (index_t l = 0; l < k; ++l)
                expected[i * n + j] +=
                    a[transpose_a ? l * m + i : i * k + l] * b[transpose_b ? j * k + l : l * n + j];
    ops::matmul<T>(m, n, k, a.data(), transpose_a, b.data(), transpose_b, nullptr, Activation::linear, c.data(),
                   threads);
    expect_equal("matmul", c, expected);
}

template <class T>
void test_max_pool2d(int threads) {
    const auto s = ops::pool2d_shape({}, 3, 11, 11, 21);
    const auto x = integers<T>(s.input_size(), 6);
    std::vector<T> y(static_cast<std::size_t>(s.output_size())), expected = y;
    std::vector<std::int64_t> argmax(y.size()), argmax_expected = argmax;
    for (index_t i = 0; i < s.output_size(); ++i) {
        const index_t c = i % 21, q = i / 21 % 5, p = i / 105 % 5, n = i / 525;
        index_t best = (2 * p * 11 + 2 * q) * 21 + c;
        for (const index_t tap : {1, 11, 12}) {
            const index_t candidate = (2 * p * 11 + 2 * q + tap) * 21 + c;
            if (x[n * 2541 + candidate] > x[n * 2541 + best]) best = candidate;
        }
        expected[i] = x[n * 2541 + best];
        argmax_expected[i] = best;
    }
    ops::max_pool2d<T>(s, x.data(), y.data(), argmax.data(), threads);
    expect_equal("max_pool2d", y, expected);
    expect_equal("max_pool2d argmax", argmax, argmax_expected);
}

// Of whole windows alone: the mean of integers is exact where the window has a power of two of them.
template <class T>
void test_pool_gradients(const ops::Pool2dGeometry& geometry, index_t height, index_t width, index_t channels,
                         int threads) {
    const auto s = ops::pool2d_shape(geometry, 2, height, width, channels);
    const auto x = integers<T>(s.input_size(), 10), grad = integers<T>(s.output_size(), 11);
    const index_t window = s.pool_height * s.pool_width, image = s.in_height * s.in_width * channels;
    std::vector<T> mean(grad.size()), mean_dx(x.size()), dx(x.size());
    auto mean_expected = mean, mean_dx_expected = mean_dx, dx_expected = dx;
    std::vector<std::int64_t> argmax(grad.size());
    for (index_t i = 0; i < s.output_size(); ++i) {
        const index_t c = i % channels, q = i / channels % s.out_width, p = i / channels / s.out_width % s.out_height;
        const index_t n = i / channels / s.out_width / s.out_height;
        index_t best = -1;
        for (index_t tap = 0; tap < window; ++tap) {
            const index_t row = p * s.stride_height + tap / s.pool_width;
            const index_t column = q * s.stride_width + tap % s.pool_width;
            const index_t place = (row * s.in_width + column) * channels + c;
            mean_expected[i] += x[n * image + place] / static_cast<T>(window);
            mean_dx_expected[n * image + place] += grad[i] / static_cast<T>(window);
            if (best < 0 || x[n * image + place] > x[n * image + best]) best = place;
        }
        dx_expected[n * image + best] += grad[i];
        argmax[i] = best;
    }
    ops::max_pool2d_gradient<T>(s, grad.data(), argmax.data(), dx.data(), threads);
    expect_equal("max_pool2d_gradient", dx, dx_expected);
    if ((window & (window - 1)) != 0) return;
    ops::average_pool2d<T>(s, x.data(), mean.data(), threads);
    ops::average_pool2d_gradient<T>(s, grad.data(), mean_dx.data(), threads);
    expect_equal("average_pool2d", mean, mean_expected);
    expect_equal("average_pool2d_gradient", mean_dx, mean_dx_expected);
}

// Convolution, ReLU and 2x2 pooling in one pass, and the gradients from its codes.
template <class T>
void test_fused(const ops::Conv2dShape& s, int threads) {
    const auto p = ops::pool2d_shape({}, s.batch, s.out_height, s.out_width, s.out_channels);
    const auto x = integers<T>(s.input_size(), 7), w = integers<T>(s.kernel_size(), 8);
    const auto grad = integers<T>(p.output_size(), 9);
    std::vector<T> conv(static_cast<std::size_t>(s.output_size()));
    for_each_product(s, [&](index_t i, index_t j, index_t o) { conv[o] += x[i] * w[j]; });

    std::vector<T> y_expected(grad.size()), conv_grad(conv.size());
    std::vector<std::uint8_t> codes_expected(grad.size());
    for (index_t i = 0; i < p.output_size(); ++i) {
        const index_t k = i % p.channels, q = i / p.channels % p.out_width;
        const index_t row = i / p.channels / p.out_width % p.out_height;
        const index_t n = i / p.channels / p.out_width / p.out_height;
        const auto place = [&](index_t code) {
            return ((n * s.out_height + 2 * row + code / 2) * s.out_width + 2 * q + code % 2) * p.channels + k;
        };
        index_t best = 0;
        for (index_t code = 1; code < 4; ++code)
            if (conv[place(code)] > conv[place(best)]) best = code;
        const bool alive = conv[place(best)] > 0;
        y_expected[i] = alive ? conv[place(best)] : T(0);
        codes_expected[i] = alive ? static_cast<std::uint8_t>(best) : std::uint8_t{4};
        if (alive) conv_grad[place(best)] = grad[i];
    }
    std::vector<T> dx_expected(x.size()), dw_expected(w.size());
    for_each_product(s, [&](index_t i, index_t j, index_t o) {
        dx_expected[i] += conv_grad[o] * w[j];
        dw_expected[j] += x[i] * conv_grad[o];
    });

    std::vector<T> y(grad.size()), dx(x.size()), dw(w.size());
    std::vector<std::uint8_t> codes(grad.size());
    ops::conv2d_max_pool2d<T>(s, p, x.data(), w.data(), nullptr, Activation::relu, y.data(), {nullptr, codes.data()},
                              threads);
    ops::conv2d_max_pool2d_gradients<T>(s, p, x.data(), w.data(), grad.data(), codes.data(), dx.data(), dw.data(),
                                        nullptr, threads);
    expect_equal("conv2d_max_pool2d", y, y_expected);
    expect_equal("conv2d_max_pool2d codes", codes, codes_expected);
    expect_equal("conv2d_max_pool2d input gradient", dx, dx_expected);
    expect_equal("conv2d_max_pool2d kernel gradient", dw, dw_expected);
}

template <class T>
void test_all(int threads) {
    struct Case {
        ops::Conv2dGeometry geometry;
        index_t batch, height, width, channels, kernel_height, kernel_width, filters;
    };
    const Case cases[] = {
        {{}, 4, 28, 28, 1, 3, 3, 32},
        {{}, 3, 13, 13, 32, 3, 3, 64},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 5, 18, 15, 48, 3, 3, 80},
        {{2, 3, 1, 1, 1, 0, 2, 1, 1}, 2, 9, 11, 5, 3, 4, 19},
        {{1, 1, 2, 2, 2, 2, 2, 2, 1}, 2, 8, 7, 7, 3, 3, 5},
        {{1, 1, 1, 1, 1, 1, 1, 1, 3}, 2, 6, 6, 12, 3, 3, 15},
        {{1, 1, 1, 1, 1, 1, 1, 1, 37}, 2, 9, 9, 37, 3, 3, 37},
        {{2, 2, 1, 1, 0, 0, 0, 0, 1}, 2, 7, 7, 130, 1, 1, 130},
        {{1, 1, 1, 1, 3, 3, 3, 3, 1}, 1, 2, 2, 600, 5, 5, 9},
        {{2, 2, 1, 1, 1, 1, 1, 1, 1}, 2, 12, 9, 160, 3, 3, 160},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 2, 18, 21, 3, 3, 3, 64},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 14, 12, 128, 3, 3, 16},
        {{2, 2, 1, 1, 3, 3, 3, 3, 1}, 1, 40, 66, 3, 7, 7, 64},
        {{2, 2, 1, 1, 1, 1, 1, 1, 64}, 2, 11, 10, 64, 3, 3, 64},
    };
    for (const Case& c : cases)
        test_conv2d<T>(ops::conv2d_shape(c.geometry, c.batch, c.height, c.width, c.channels, c.kernel_height,
                                         c.kernel_width, c.filters),
                       threads);
    test_conv2d_of_nan<T>(ops::conv2d_shape({1, 1, 1, 1, 1, 1, 1, 1, 1}, 4, 14, 12, 32, 3, 3, 32), threads);
    test_conv2d_of_nan<T>(ops::conv2d_shape({1, 1, 1, 1, 1, 1, 1, 1, 1}, 4, 18, 21, 3, 3, 3, 64), threads);
    for (const bool transpose_a : {false, true})
        for (const bool transpose_b : {false, true}) {
            test_matmul<T>(37, 70, 51, transpose_a, transpose_b, threads);
            test_matmul<T>(128, 10, 1600, transpose_a, transpose_b, threads);
            test_matmul<T>(1, 300, 257, transpose_a, transpose_b, threads);
            test_matmul<T>(4, 45, 640, transpose_a, transpose_b, threads);
            test_matmul<T>(1600, 10, 1, transpose_a, transpose_b, threads);
            test_matmul<T>(100, 130, 1, transpose_a, transpose_b, threads);
        }
    test_max_pool2d<T>(threads);
    test_pool_gradients<T>({}, 12, 10, 48, threads);
    test_pool_gradients<T>({2, 2, 1, 1}, 9, 8, 21, threads);
    test_pool_gradients<T>({3, 3}, 15, 13, 48, threads);
    test_pool_gradients<T>({4, 4, 4, 4}, 8, 8, 33, threads);
    test_fused<T>(ops::conv2d_shape({}, 3, 28, 28, 1, 3, 3, 32), threads);
    test_fused<T>(ops::conv2d_shape({}, 3, 13, 13, 32, 3, 3, 64), threads);
    test_fused<T>(ops::conv2d_shape({1, 1, 1, 1, 1, 1, 1, 1, 1}, 2, 9, 10, 16, 3, 3, 48), threads);
    test_fused<T>(ops::conv2d_shape({}, 2, 7, 8, 3, 2, 3, 5), threads);
    test_fused<T>(ops::conv2d_shape({}, 2, 20, 22, 3, 3, 3, 32), threads);
    test_fused<T>(ops::conv2d_shape({}, 2, 20, 22, 1, 5, 5, 32), threads);
}

// Every item once, and nobody shares the scratch of a participant; several threads of a host at the same time.
void test_parallel_for() {
    std::atomic<index_t> wrong{0};
    const auto host = [&](unsigned seed) {
        for (unsigned round = 0; round < 400; ++round) {
            seed = seed * 1664525u + 1013904223u;
            const index_t items = seed >> 24;
            const int threads = static_cast<int>(2 + (seed >> 16) % 5);
            std::vector<index_t> times(static_cast<std::size_t>(items));  // not atomic: ThreadSanitizer looks on
            std::vector<std::atomic<int>> users(static_cast<std::size_t>(threads));
            std::vector<index_t> count(static_cast<std::size_t>(threads));
            fastconv::runtime::parallel_for(items, threads, [&](index_t item, int thread) {
                if (users[static_cast<std::size_t>(thread)].fetch_add(1) != 0) ++wrong;
                ++times[static_cast<std::size_t>(item)];
                ++count[static_cast<std::size_t>(thread)];
                users[static_cast<std::size_t>(thread)].fetch_sub(1);
                if (round % 16 == 0) std::this_thread::yield();
            });
            index_t total = 0;
            for (const index_t value : count) total += value;
            for (const index_t value : times) wrong += value != 1;
            wrong += total != items;
        }
    };
    std::vector<std::thread> hosts;
    for (unsigned seed = 1; seed <= 4; ++seed) hosts.emplace_back(host, seed);
    for (std::thread& thread : hosts) thread.join();
    if (wrong != 0) ++failures;
    std::printf("parallel_for: %lld mistakes\n", static_cast<long long>(wrong.load()));
}

}  // namespace

int main() {
    test_parallel_for();
    for (const std::string& level : fastconv::dispatch::available_isas()) {
        fastconv::dispatch::set_active_isa(level);
        const index_t before = compared;
        for (const int threads : {1, 3}) {
            test_all<float>(threads);
            test_all<double>(threads);
        }
        std::printf("%s: %lld values compared\n", level.c_str(), static_cast<long long>(compared - before));
    }
    std::printf("%s\n", failures == 0 ? "all equal" : "FAILED");
    return failures == 0 ? 0 : 1;
}
