// The one symbol that a level exports to the rest of the core.
#include "kernels/registration.hpp"

namespace fastconv::FASTCONV_LEVEL {

Kernels make_kernels() noexcept;  // declared by dispatch for every level

Kernels make_kernels() noexcept {
    Kernels table{};
    register_batch_reduce(table);
    register_conv_pool(table);
    register_panels(table);
    register_max_pool_gradient(table);
    register_depthwise(table);
    register_inner_products(table);
    register_outer_product(table);
    register_peak(table);
    register_pooling(table);
    register_elementwise(table);
    register_optimizer(table);
    register_softmax(table);
    register_dropout(table);
    register_sparse_gradients(table);
    register_transpose(table);
    register_transposed_product(table);
    register_winograd(table);
    register_winograd_conv_pool(table);
    register_winograd_few(table);
    register_winograd_few_gradient(table);
    register_winograd_few_input_gradient(table);
    register_winograd_parts(table);
    return table;
}

}  // namespace fastconv::FASTCONV_LEVEL
