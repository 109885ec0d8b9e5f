// Lists of kernels::ShiftedSum's terms, in two blocks of memory: few outputs take less time than an allocation a
// list.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/table.hpp"

namespace fastconv::ops {

// What values are sums of: of each the first terms added, the last ones subtracted, both in the order they came.
class SignedTerms {
  public:
    SignedTerms() = default;
    // visit(add) calls add(list, offset, sign) for every term; twice, alike: to count them, then to put them in
    // place.
    template <class Visit>
    SignedTerms(index_t lists, const Visit& visit) : lists_(static_cast<std::size_t>(lists)) {
        visit([&](index_t list, index_t, int sign) { ++at(list, sign); });
        index_t size = 0;
        for (List& list : lists_) {
            const index_t added = list.added, subtracted = list.subtracted;
            list = {size, size + added, size, size + added};
            size += added + subtracted;
        }
        terms_.resize(static_cast<std::size_t>(size));
        visit([&](index_t list, index_t offset, int sign) {
            terms_[static_cast<std::size_t>(at(list, sign)++)] = {offset, 0,
                                                                  std::numeric_limits<std::int32_t>::max()};
        });
    }

    // Makes these the terms of `op`.
    template <class T>
    void give(index_t index, kernels::ShiftedSum<T>& op) const {
        const List& list = lists_[static_cast<std::size_t>(index)];
        op.terms = terms_.data() + list.begin;
        op.count = list.subtracted - list.begin;
        op.subtracted = list.subtracted - list.middle;
    }

  private:
    struct List {
        index_t begin, middle;      // where its terms are, and of these the subtracted ones
        index_t added, subtracted;  // how many were counted; then, where the next one goes
    };
    index_t& at(index_t list, int sign) {
        List& l = lists_[static_cast<std::size_t>(list)];
        return sign > 0 ? l.added : l.subtracted;
    }

    std::vector<List> lists_;
    std::vector<kernels::ShiftedTerm> terms_;
};

}  // namespace fastconv::ops
