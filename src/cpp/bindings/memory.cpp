#include "bindings/memory.hpp"

#include <array>
#include <span>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "runtime/block_pool.hpp"

namespace fastconv::bindings {
namespace {

[[noreturn]] void refuse_memory(std::span<const index_t> shape, const py::dtype& dtype) {
    const std::string text = "empty: cannot allocate an array of shape " + format_shape(shape.begin(), shape.end()) +
                             " and dtype " + std::string(py::str(static_cast<const py::object&>(dtype)));
    py::set_error(PyExc_MemoryError, text.c_str());
    throw py::error_already_set();
}

constexpr std::size_t most_dimensions = 64;  // of NumPy 2; 1 has 32

void release_owned(PyObject* capsule) { runtime::release_block(PyCapsule_GetPointer(capsule, nullptr)); }

// Straight from NumPy's C interface: py::array and py::capsule take as long again for each.
py::array array_on(void* block, std::span<const index_t> shape, const py::dtype& dtype) {
    static_assert(sizeof(index_t) == sizeof(Py_intptr_t));
    const auto owner = py::reinterpret_steal<py::object>(PyCapsule_New(block, nullptr, release_owned));
    if (!owner) {
        runtime::release_block(block);
        throw py::error_already_set();
    }
    const auto& numpy = py::detail::npy_api::get();
    const auto* dims = reinterpret_cast<const Py_intptr_t*>(shape.data());
    auto array = py::reinterpret_steal<py::array>(numpy.PyArray_NewFromDescr_(
        numpy.PyArray_Type_, py::dtype(dtype).release().ptr(), static_cast<int>(shape.size()), dims, nullptr, block,
        py::detail::npy_api::NPY_ARRAY_WRITEABLE_, nullptr));
    if (!array || numpy.PyArray_SetBaseObject_(array.ptr(), owner.inc_ref().ptr()) != 0)
        throw py::error_already_set();
    return array;
}

}  // namespace

py::array empty(std::span<const index_t> shape, const py::dtype& dtype) {
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
    try {
        return array_on(runtime::acquire_block(static_cast<std::size_t>(bytes)), shape, dtype);
    } catch (const std::bad_alloc&) {
        refuse_memory(shape, dtype);
    }
}

void bind_memory(py::module_& m) {
    using py::arg;
    m.def(
        "empty",
        [](const py::tuple& shape, const py::dtype& dtype) {
            std::array<index_t, most_dimensions> sizes;
            if (shape.size() > sizes.size()) throw py::value_error("empty: shape has too many dimensions");
            py::detail::make_caster<index_t> size;
            for (std::size_t i = 0; i < shape.size(); ++i) {
                if (!size.load(shape[i], false)) throw py::type_error("empty: shape must be a tuple of 64-bit ints");
                sizes[i] = size;
            }
            return empty(std::span(sizes.data(), shape.size()), dtype);
        },
        arg("shape"), arg("dtype"));
    m.def("clear_pool", &runtime::clear_pool);
    m.def("pool_statistics", [] {
        const runtime::PoolStatistics s = runtime::pool_statistics();
        return py::make_tuple(s.cached_bytes, s.cached_blocks, s.used_bytes, s.used_blocks, s.limit_bytes, s.hits,
                              s.misses);
    });
}

}  // namespace fastconv::bindings
