// What holds for the whole process: the choices that a user can make, each one atomic variable, and whether it may
// have threads.
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

// A bound far above what is useful.
int most_threads() noexcept;

// True in a child of fork(): the threads of the parent do not exist there, so everything runs serially.
bool forked() noexcept;

}  // namespace fastconv::runtime
