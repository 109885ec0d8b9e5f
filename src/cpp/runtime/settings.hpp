// Process-wide choices that a user can make; each is one atomic variable.
#pragma once

namespace fastconv::runtime {

// strict: only algorithms for which the elementwise error bound of a direct sum holds; fast: also those whose bound
// is an order of magnitude above the standard ones'.
enum class Precision { standard, strict, fast };

Precision precision() noexcept;
void set_precision(Precision precision) noexcept;

// The default for num_threads <= 0: at first OMP_NUM_THREADS, else the processors that this process may use.
int default_num_threads() noexcept;
void set_default_num_threads(int count) noexcept;  // count >= 1

}  // namespace fastconv::runtime
