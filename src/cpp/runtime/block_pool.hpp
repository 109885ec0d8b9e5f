// A bounded pool of aligned memory blocks: first touch of fresh pages costs more than most layers' arithmetic,
// so blocks are kept and handed out again. Thread-safe.
#pragma once

#include <cstddef>

namespace fastconv::runtime {

inline constexpr std::size_t block_alignment = 64;
inline constexpr std::size_t huge_page = std::size_t{1} << 21;  // blocks of this size or more lie on such pages

struct PoolStatistics {
    std::size_t cached_bytes, cached_blocks;  // kept for reuse
    std::size_t used_bytes, used_blocks;      // handed out
    std::size_t limit_bytes;                  // of cached_bytes
    std::size_t hits, misses;
};

// Returns at least `bytes` bytes aligned to block_alignment; throws std::bad_alloc.
void* acquire_block(std::size_t bytes);
void release_block(void* block) noexcept;  // null is fine
void clear_pool() noexcept;
PoolStatistics pool_statistics() noexcept;

// An owned block of `size` elements.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t size) : data_(size ? static_cast<T*>(acquire_block(checked_bytes(size))) : nullptr) {}
    ~Buffer() { release_block(data_); }
    Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
    Buffer& operator=(Buffer&& other) noexcept {
        T* moved = other.data_;
        other.data_ = nullptr;
        release_block(data_);
        data_ = moved;
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    T* data() const { return data_; }

  private:
    static std::size_t checked_bytes(std::size_t size);
    T* data_ = nullptr;
};

[[noreturn]] void throw_bad_alloc();

template <class T>
std::size_t Buffer<T>::checked_bytes(std::size_t size) {
    if (size > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw_bad_alloc();
    return size * sizeof(T);
}

}  // namespace fastconv::runtime
