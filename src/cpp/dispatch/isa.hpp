// The instruction-set levels of this build, which of them this machine runs, and the one in use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastconv::dispatch {

// Best level last. Names: "x86_64_v2", "avx2", "avx512" on x86-64, "neon" on aarch64.
std::vector<std::string> compiled_isas();
std::vector<std::string> available_isas();  // compiled, and supported by this CPU and operating system

std::string active_isa();
// Throws std::invalid_argument, listing the available levels, for an unknown or unsupported name.
void set_active_isa(std::string_view name);

std::string cpu_name();

}  // namespace fastconv::dispatch
