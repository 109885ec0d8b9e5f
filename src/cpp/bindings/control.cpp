// Settings, instruction-set levels and how this module was built.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "dispatch/isa.hpp"
#include "ops/peak.hpp"
#include "runtime/settings.hpp"

#ifndef FASTCONV_VERSION
#define FASTCONV_VERSION "unknown"
#endif
#ifndef FASTCONV_BUILD_FLAGS
#define FASTCONV_BUILD_FLAGS "unknown"
#endif

namespace fastconv::bindings {
namespace {

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "gcc " __VERSION__;
#endif

// In the order of runtime::Precision.
constexpr const char* precisions[] = {"default", "strict", "fast"};

const char* precision() { return precisions[static_cast<int>(runtime::precision())]; }

void set_precision(const std::string& name) {
    const auto* const found = std::find(std::begin(precisions), std::end(precisions), name);
    if (found == std::end(precisions)) {
        throw py::value_error(
            "set_precision: unknown precision, expected \"default\", \"strict\" or \"fast\", received \"" + name +
            "\"");
    }
    runtime::set_precision(static_cast<runtime::Precision>(found - std::begin(precisions)));
}

void set_num_threads(int count) {
    if (count < 1) {
        throw py::value_error("set_num_threads: count must be positive, expected an int >= 1, received " +
                              std::to_string(count));
    }
    runtime::set_default_num_threads(count);
}

// Whether `value` is an int, string, bool or None, or ints in tuples: among these, what is equal and of one type is
// the same in every way. To compare values alone takes 1, 1.0 and True for one, in tuples too.
bool is_plain(PyObject* value, int most_tuples = 2) {
    if (PyLong_CheckExact(value)) return true;
    if (!PyTuple_CheckExact(value)) return PyUnicode_CheckExact(value) || PyBool_Check(value) || value == Py_None;
    if (most_tuples == 0) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); ++i) {
        PyObject* const part = PyTuple_GET_ITEM(value, i);
        if (!PyLong_CheckExact(part) && !(PyTuple_CheckExact(part) && is_plain(part, most_tuples - 1))) return false;
    }
    return true;
}

bool are_plain(const py::tuple& values) {
    return std::all_of(values.begin(), values.end(), [](py::handle value) { return is_plain(value.ptr()); });
}

double multiply_adds_per_second(double seconds, bool float64, int num_threads) {
    const py::gil_scoped_release release;
    return float64 ? ops::measure_multiply_adds_per_second<double>(seconds, num_threads)
                   : ops::measure_multiply_adds_per_second<float>(seconds, num_threads);
}

double seconds_of_memory(const py::array& x, const py::array& y, double seconds, int num_threads) {
    Arguments check("seconds_of_memory");
    const auto* x_data = check.input<float>("x", x);
    auto* y_data = check.output<float>("y", y);
    const index_t reads = x.size(), writes = y.size();
    const py::gil_scoped_release release;
    return ops::measure_seconds_of_memory(reads, x_data, writes, y_data, seconds, num_threads);
}

double multiply_tiles(index_t count, bool float64) {
    const py::gil_scoped_release release;
    return float64 ? ops::multiply_tiles<double>(count) : ops::multiply_tiles<float>(count);
}

void read_environment() {
    const char* name = std::getenv("FASTCONV_ISA");
    if (name == nullptr || *name == '\0') return;
    try {
        dispatch::set_active_isa(name);
    } catch (const std::invalid_argument&) {
        std::string levels;
        for (const std::string& isa : dispatch::available_isas()) levels += (levels.empty() ? "" : ", ") + isa;
        throw py::import_error("environment variable FASTCONV_ISA: unknown or unsupported level, expected one of " +
                               levels + ", received \"" + name + "\"");
    }
}

}  // namespace

void bind_control(py::module_& m) {
    using py::arg;
    m.attr("version") = FASTCONV_VERSION;
    m.attr("compiler") = compiler;
    m.attr("build_flags") = FASTCONV_BUILD_FLAGS;

    m.def("cpu_name", &dispatch::cpu_name);
    m.def("compiled_isas", &dispatch::compiled_isas);
    m.def("available_isas", &dispatch::available_isas);
    m.def("active_isa", &dispatch::active_isa);
    m.def("set_active_isa", &dispatch::set_active_isa, arg("name"));
    m.def("precision", &precision);
    m.def("set_precision", &set_precision, arg("name"));
    m.def("num_threads", &runtime::default_num_threads);
    m.def("set_num_threads", &set_num_threads, arg("count"));
    m.def("multiply_adds_per_second", &multiply_adds_per_second, arg("seconds"), arg("float64"), arg("num_threads"));
    m.def("seconds_of_memory", &seconds_of_memory, arg("x"), arg("y"), arg("seconds"), arg("num_threads"));
    m.def("multiply_tiles", &multiply_tiles, arg("count"), arg("float64"));

    m.def("are_plain", &are_plain, arg("values"));

    read_environment();
}

}  // namespace fastconv::bindings
