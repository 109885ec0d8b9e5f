// fastconv._core: table of contents.
#include "bindings/bindings.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The native core of fastconv. Arrays are checked, never converted; fastconv.ops is the public side.";
    fastconv::bindings::bind_conv2d(m);
    fastconv::bindings::bind_pool2d(m);
    fastconv::bindings::bind_conv2d_pool2d(m);
    fastconv::bindings::bind_matmul(m);
    fastconv::bindings::bind_elementwise(m);
    fastconv::bindings::bind_optimizer(m);
    fastconv::bindings::bind_memory(m);
    fastconv::bindings::bind_chain(m);
    fastconv::bindings::bind_control(m);
}
