// A bounded FIFO that grows as it is used: no allocation in the steady state, no memory for what is never used.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace hawser::verbs {

// Not thread-safe.
template <class T>
class Ring {
 public:
  explicit Ring(std::size_t capacity) : capacity_(capacity) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == capacity_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  // Not below size().
  void set_capacity(std::size_t capacity) { capacity_ = capacity; }

  [[nodiscard]] T& front() { return slots_[head_]; }
  // Only when not full().
  void push(T&& value) {
    if (size_ == slots_.size()) grow();
    slots_[(head_ + size_) % slots_.size()] = std::move(value);
    ++size_;
  }
  // To be the next one popped. Only when not full().
  void push_front(T&& value) {
    if (size_ == slots_.size()) grow();
    head_ = (head_ == 0 ? slots_.size() : head_) - 1;
    slots_[head_] = std::move(value);
    ++size_;
  }
  // Only when not empty().
  T pop() {
    T value = std::move(slots_[head_]);
    head_ = head_ + 1 == slots_.size() ? 0 : head_ + 1;
    --size_;
    return value;
  }
  void clear() { head_ = size_ = 0; }

 private:
  void grow() {
    std::vector<T> larger(std::max<std::size_t>(8, 2 * slots_.size()));
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move(slots_[(head_ + i) % slots_.size()]);
    slots_ = std::move(larger);
    head_ = 0;
  }

  std::size_t capacity_;
  std::vector<T> slots_;
  std::size_t head_ = 0, size_ = 0;
};

}  // namespace hawser::verbs
