// Activations, softmax, cross-entropy, dropout and layout changes.
#pragma once

#include "common.hpp"

namespace fastconv::ops {

// y = x where x > 0 or x is NaN, else 0.
template <class T>
void relu(index_t size, const T* x, T* y, int num_threads);

// dx = grad where y > 0, else 0.
template <class T>
void relu_gradient(index_t size, const T* grad, const T* y, T* dx, int num_threads);

// Row-wise over a (rows x classes) matrix, shifted by the row's maximum.
template <class T>
void softmax(index_t rows, index_t classes, const T* x, T* y, int num_threads);
template <class T>
void log_softmax(index_t rows, index_t classes, const T* x, T* y, int num_threads);

// loss[i] = logsumexp(logits[i]) - logits[i, labels[i]]; grad = softmax(logits) - onehot(labels).
// Throws std::invalid_argument if a label is outside [0, classes).
template <class T>
void softmax_cross_entropy(index_t rows, index_t classes, const T* logits, const std::int64_t* labels, T* loss,
                           T* grad, int num_threads);

// The same for rows of class probabilities: loss[i] = sum_j p[i,j] * (logsumexp - logits[i,j]);
// grad = softmax(logits) * sum_j p[i,j] - p[i].
template <class T>
void softmax_cross_entropy(index_t rows, index_t classes, const T* logits, const T* probabilities, T* loss, T* grad,
                           int num_threads);

// Element i is kept, times 1/(1-rate), iff word i >= floor(rate * 2^32); word i is lane i % 4 of
// philox4x32_10(counter = offset + i/4, key = seed). 0 <= rate < 1. Unless it is null, bit i % 8 of kept[i / 8] says
// the same; from these bits the gradient is several times as fast as from the words.
template <class T>
void dropout(index_t size, const T* x, double rate, std::uint64_t seed, std::uint64_t offset, T* y,
             std::uint8_t* kept, int num_threads);
template <class T>
void dropout_gradient(index_t size, const T* grad, double rate, const std::uint8_t* kept, T* dx, int num_threads);

// out[b] = transpose(in[b]), in[b] being (rows x columns): NCHW -> NHWC with rows = C, columns = H*W; and back.
template <class T>
void transpose_planes(index_t batch, index_t rows, index_t columns, const T* in, T* out, int num_threads);

}  // namespace fastconv::ops
