// The kernel table of the active instruction-set level.
#pragma once

#include "kernels/table.hpp"

namespace fastconv::dispatch {

const kernels::Kernels& active_kernels() noexcept;

template <class T>
const kernels::KernelsOf<T>& active() noexcept;
template <>
inline const kernels::KernelsOf<float>& active<float>() noexcept {
    return active_kernels().f32;
}
template <>
inline const kernels::KernelsOf<double>& active<double>() noexcept {
    return active_kernels().f64;
}

}  // namespace fastconv::dispatch
