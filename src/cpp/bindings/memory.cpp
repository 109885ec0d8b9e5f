#include "bindings/memory.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <tuple>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::bindings {
namespace {

[[noreturn]] void refuse_memory(const std::vector<index_t>& shape, const py::dtype& dtype) {
    const std::string text = "empty: cannot allocate an array of shape " + format_shape(shape.begin(), shape.end()) +
                             " and dtype " + std::string(py::str(static_cast<const py::object&>(dtype)));
    py::set_error(PyExc_MemoryError, text.c_str());
    throw py::error_already_set();
}

}  // namespace

py::array empty(const std::vector<index_t>& shape, const py::dtype& dtype) {
    if (dtype.has_fields() || dtype.kind() == 'O' || dtype.itemsize() == 0) {
        throw py::type_error("empty: dtype must be a plain number, expected float32, float64 or int64, received " +
                             std::string(py::str(static_cast<const py::object&>(dtype))));
    }
    py::ssize_t bytes = dtype.itemsize();
    bool overflow = false;
    for (const index_t dim : shape) {
        if (dim < 0) {
            throw py::value_error("empty: shape must not be negative, expected sizes >= 0, received " +
                                  format_shape(shape.begin(), shape.end()));
        }
        overflow = __builtin_mul_overflow(bytes, dim, &bytes) || overflow;
    }
    if (overflow) refuse_memory(shape, dtype);
    if (bytes == 0) return py::array(dtype, shape);
    try {
        std::unique_ptr<void, decltype(&runtime::release_block)> block(
            runtime::acquire_block(static_cast<std::size_t>(bytes)), &runtime::release_block);
        void* data = block.get();
        const py::capsule owner(data, [](void* memory) { runtime::release_block(memory); });
        (void)block.release();
        return py::array(dtype, shape, data, owner);
    } catch (const std::bad_alloc&) {
        refuse_memory(shape, dtype);
    }
}

namespace {

using Statistics =
    std::tuple<std::size_t, std::size_t, std::size_t, std::size_t, std::size_t, std::size_t, std::size_t>;

Statistics pool_statistics() {
    const runtime::PoolStatistics s = runtime::pool_statistics();
    return {s.cached_bytes, s.cached_blocks, s.used_bytes, s.used_blocks, s.limit_bytes, s.hits, s.misses};
}

}  // namespace

void bind_memory(py::module_& m) {
    using py::arg;
    m.def("empty", &empty, arg("shape"), arg("dtype"));
    m.def("clear_pool", &runtime::clear_pool);
    m.def("pool_statistics", &pool_statistics,
          "(cached_bytes, cached_blocks, used_bytes, used_blocks, limit_bytes, hits, misses)");
}

}  // namespace fastconv::bindings
