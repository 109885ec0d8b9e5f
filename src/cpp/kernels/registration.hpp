// What each kernel file exports inside its level: a function that fills its part of the table.
#pragma once

#include "kernels/table.hpp"

namespace fastconv::FASTCONV_LEVEL {

using kernels::Kernels;

void register_batch_reduce(Kernels& table) noexcept;
void register_conv_pool(Kernels& table) noexcept;
void register_panels(Kernels& table) noexcept;
void register_max_pool_gradient(Kernels& table) noexcept;
void register_depthwise(Kernels& table) noexcept;
void register_inner_products(Kernels& table) noexcept;
void register_outer_product(Kernels& table) noexcept;
void register_peak(Kernels& table) noexcept;
void register_pooling(Kernels& table) noexcept;
void register_elementwise(Kernels& table) noexcept;
void register_optimizer(Kernels& table) noexcept;
void register_softmax(Kernels& table) noexcept;
void register_dropout(Kernels& table) noexcept;
void register_sparse_gradients(Kernels& table) noexcept;
void register_transpose(Kernels& table) noexcept;
void register_transposed_product(Kernels& table) noexcept;
void register_winograd(Kernels& table) noexcept;
void register_winograd_conv_pool(Kernels& table) noexcept;
void register_winograd_few(Kernels& table) noexcept;
void register_winograd_few_gradient(Kernels& table) noexcept;
void register_winograd_few_input_gradient(Kernels& table) noexcept;
void register_winograd_parts(Kernels& table) noexcept;

}  // namespace fastconv::FASTCONV_LEVEL
