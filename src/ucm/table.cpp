#include "ucm/table.hpp"

#include "base/assert.hpp"
#include "base/probe.hpp"
#include "ucm/file.hpp"

namespace hawser::ucm {

Table::~Table() {
  rt::Lock lock(mutex_);
  HW_ASSERT(entries_.empty(), "ucm-table-freed-with-ids");
}

Handle Table::new_handle() {
  rt::Lock lock(mutex_);
  return next_++;
}

void Table::insert(Handle handle, Context& context, FilePtr file) {
  rt::Lock lock(mutex_);
  entries_.emplace(handle, Entry{&context, std::move(file)});
}

Result<Table::Ref> Table::get(const File& file, Handle handle) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.dying) return fail(ENOENT);
  Entry& entry = found->second;
  if (entry.file.get() != &file) return fail(EINVAL);
  if (entry.references == 0) {
    HW_PROBE("ucm-id-without-device");
    return fail(ENXIO);
  }
  ++entry.references;
  return Ref(*this, handle, *entry.context);
}

Result<Context*> Table::claim(const File& file, Handle handle) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.dying) return fail(ENOENT);
  if (found->second.file.get() != &file) return fail(EINVAL);
  found->second.dying = true;
  return found->second.context;
}

Context* Table::claim_unfetched(Handle handle) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.dying) return nullptr;
  found->second.dying = true;
  return found->second.context;
}

void Table::drain(Handle handle) {
  rt::assert_none_held(rt::LockRank::handler);
  rt::Lock lock(mutex_);
  Entry& entry = entries_.at(handle);
  HW_ASSERT(entry.references > 0, "ucm-own-reference-dropped-twice");
  --entry.references;
  while (entry.references > 0) {
    HW_PROBE("ucm-destroy-waits");
    drained_.wait(mutex_);
  }
}

void Table::put(Handle handle) {
  rt::Lock lock(mutex_);
  Entry& entry = entries_.at(handle);
  if (--entry.references == 0) drained_.notify_all();
}

void Table::if_live(Handle handle, const std::function<void()>& then) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  if (found != entries_.end() && !found->second.dying) then();
}

Status Table::move(Handle handle, const File& from, FilePtr to) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.dying || found->second.file.get() != &from) return fail(ENOENT);
  found->second.file = std::move(to);
  return {};
}

FilePtr Table::file_of(Handle handle) const {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(handle);
  return found == entries_.end() ? nullptr : found->second.file;
}

void Table::erase(Handle handle) {
  rt::Lock lock(mutex_);
  entries_.erase(handle);
}

}  // namespace hawser::ucm
