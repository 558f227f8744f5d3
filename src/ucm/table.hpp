// User ids by handle: live → dying → erased, with exactly one winner who may destroy [spec 2.8.1, 7 I21, 4 #44].
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "ucm/event.hpp"

namespace hawser::ucm {

class Context;
class File;
using FilePtr = std::shared_ptr<File>;

// Thread-safe. References are counted here, under the table's mutex, so that nobody can take one of an id whose last
// one has gone [spec 4 #39], and an id's channel changes here, with the id's handler_mutex held too [spec 4 #41].
class Table {
 public:
  // A command in progress on an id.
  class Ref {
   public:
    Ref(Table& table, Handle handle, Context& context) : table_(&table), handle_(handle), context_(&context) {}
    Ref(Ref&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), handle_(other.handle_), context_(other.context_) {}
    Ref& operator=(Ref&&) = delete;
    ~Ref() { release(); }
    void release() {
      if (table_ != nullptr) std::exchange(table_, nullptr)->put(handle_);
    }
    Context* operator->() const { return context_; }
    Context& operator*() const { return *context_; }

   private:
    Table* table_;
    Handle handle_;
    Context* context_;
  };

  ~Table();

  [[nodiscard]] Handle new_handle();
  void insert(Handle handle, Context& context, FilePtr file);
  // ENOENT: unknown or being destroyed; EINVAL: of another channel; ENXIO: its device was removed.
  [[nodiscard]] Result<Ref> get(const File& file, Handle handle);
  // The winner may destroy the id. ENOENT: it is not there or another won; EINVAL: of another channel.
  [[nodiscard]] Result<Context*> claim(const File& file, Handle handle);
  // As above for an id whose CONNECT_REQUEST was never fetched; null if somebody else has it.
  [[nodiscard]] Context* claim_unfetched(Handle handle);
  // Drops the id's own reference and waits until no command is in progress on it.
  void drain(Handle handle);
  // Runs `then` if the id is not being destroyed; the winner waits meanwhile.
  void if_live(Handle handle, const std::function<void()>& then);
  // ENOENT unless the id is live and still `from`'s [spec 4 #40].
  [[nodiscard]] Status move(Handle handle, const File& from, FilePtr to);
  [[nodiscard]] FilePtr file_of(Handle handle) const;
  void erase(Handle handle);

 private:
  struct Entry {
    Context* context{};
    FilePtr file;
    unsigned references{1};  // one is the entry's own
    bool dying{};
  };
  void put(Handle handle);

  mutable rt::Mutex mutex_{rt::LockRank::ucm_table};
  rt::CondVar drained_;
  Handle next_ HW_GUARDED_BY(mutex_) = 1;
  std::unordered_map<Handle, Entry> entries_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::ucm
