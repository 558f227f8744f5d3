#include "base/call_site.hpp"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>

namespace hawser {
namespace {

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 ? text.get() : name;
}

std::string place(std::uintptr_t address) {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(address), &info) == 0 || info.dli_fname == nullptr) {
    return fmt::format("{:#x}", address);
  }
  const std::string_view path(info.dli_fname);
  const std::string_view file = path.substr(path.rfind('/') + 1);
  if (info.dli_sname == nullptr) {
    return fmt::format("{}(+{:#x})", file, address - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
  }
  return fmt::format("{}({}+{:#x})", file, demangled(info.dli_sname),
                     address - reinterpret_cast<std::uintptr_t>(info.dli_saddr));
}

}  // namespace

// One back from the return address, and it lies in the line of the call.
std::string site_text(const void* site) {
  return site == nullptr ? "an unknown place" : place(reinterpret_cast<std::uintptr_t>(site) - 1);
}

const void*& CalledFrom::current() {
  static thread_local const void* site = nullptr;
  return site;
}

std::string HandlerName::text() const {
  if (function != nullptr) return place(reinterpret_cast<std::uintptr_t>(function));
  return type != nullptr ? demangled(type->name()) : "";
}

}  // namespace hawser
