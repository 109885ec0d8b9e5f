#include "dispatch/isa.hpp"

#include <atomic>
#include <cstring>
#include <iterator>
#include <stdexcept>

#include "dispatch/kernels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// Each level's kernels/table.cpp defines its make_kernels().
#define FASTCONV_DECLARE_LEVEL(level)         \
    namespace fastconv::level {               \
    kernels::Kernels make_kernels() noexcept; \
    }
#if defined(__x86_64__)
FASTCONV_DECLARE_LEVEL(x86_64_v2)
FASTCONV_DECLARE_LEVEL(avx2)
FASTCONV_DECLARE_LEVEL(avx512)
#elif defined(__aarch64__)
FASTCONV_DECLARE_LEVEL(neon)
#else
#error "no instruction-set level for this architecture: see dispatch/isa.cpp and CMakeLists.txt"
#endif

namespace fastconv::dispatch {
namespace {

struct Level {
    const char* name;
    kernels::Kernels (*make)() noexcept;
    bool (*supported)();  // by this CPU, and its registers by the operating system
};

#if defined(__x86_64__)
// __builtin_cpu_supports asks XGETBV whether the operating system saves the registers.
const Level levels[] = {
    {"x86_64_v2", x86_64_v2::make_kernels,
     [] { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }},
    {"avx2", avx2::make_kernels, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
    {"avx512", avx512::make_kernels,
     [] {
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
     }},
};
#else
const Level levels[] = {{"neon", neon::make_kernels, [] { return true; }}};
#endif

struct Slot {
    const Level* level = nullptr;
    kernels::Kernels kernels;
};

// One slot for each supported level, filled once; the active one is a pointer into it.
struct Registry {
    Slot slots[std::size(levels)];
    int count = 0;
    std::atomic<const Slot*> active;

    Registry() {
#if defined(__x86_64__)
        __builtin_cpu_init();
#endif
        for (const Level& level : levels)
            if (level.supported()) slots[count++] = {&level, level.make()};
        // A CPU below the baseline cannot run this extension at all; the baseline is the least bad answer.
        if (count == 0) slots[count++] = {&levels[0], levels[0].make()};
        active.store(&slots[count - 1], std::memory_order_release);
    }
};

Registry& registry() noexcept {
    static Registry instance;
    return instance;
}

}  // namespace

std::vector<std::string> compiled_isas() {
    std::vector<std::string> names;
    for (const Level& level : levels) names.emplace_back(level.name);
    return names;
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (int i = 0; i < registry().count; ++i) names.emplace_back(registry().slots[i].level->name);
    return names;
}

std::string active_isa() { return registry().active.load(std::memory_order_acquire)->level->name; }

void set_active_isa(std::string_view name) {
    std::string known;
    for (int i = 0; i < registry().count; ++i) {
        const Slot& slot = registry().slots[i];
        if (name == slot.level->name) {
            registry().active.store(&slot, std::memory_order_release);
            return;
        }
        known += std::string(known.empty() ? "" : ", ") + slot.level->name;
    }
    throw std::invalid_argument("instruction-set level must be one that this CPU supports, expected one of: " +
                                known + "; received '" + std::string(name) + "'");
}

const kernels::Kernels& active_kernels() noexcept {
    return registry().active.load(std::memory_order_acquire)->kernels;
}

std::string cpu_name() {
#if defined(__x86_64__)
    unsigned words[12] = {};
    if (__get_cpuid_max(0x80000000u, nullptr) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; ++i)
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
        char text[sizeof(words) + 1] = {};
        std::memcpy(text, words, sizeof(words));
        std::string name(text);
        const auto first = name.find_first_not_of(' ');
        const auto last = name.find_last_not_of(' ');
        if (first != std::string::npos) return name.substr(first, last - first + 1);
    }
    return "x86-64";
#else
    return "aarch64";
#endif
}

}  // namespace fastconv::dispatch
