// Terms of kernels::ShiftedSum, collected one by one.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/table.hpp"

namespace fastconv::ops {

// What a value is the sum of: the first terms added, the last ones subtracted.
class SignedTerms {
  public:
    std::vector<kernels::ShiftedTerm> terms;
    index_t subtracted = 0;

    void add(index_t offset, int sign) {
        if (terms.empty()) terms.reserve(usual);
        const auto at = sign > 0 ? terms.end() - subtracted : terms.end();
        terms.insert(at, {offset, 0, std::numeric_limits<std::int32_t>::max()});
        subtracted += sign < 0 ? 1 : 0;
    }

  private:
    static constexpr std::size_t usual = 8;
};

}  // namespace fastconv::ops
