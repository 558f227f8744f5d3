#include "report.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define HW_DEATH_CALLBACK 1
#endif
#endif

namespace hawser::fuzz {
namespace {

std::string& under_way() {
  static auto* const text = new std::string;  // for crashes at the program's end too
  return *text;
}

void print_under_way() {
  const std::string& text = under_way();
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void on_signal(int signal_number) {
  print_under_way();
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

std::string errno_name(int error) { return error == 0 ? "ok" : strerrorname_np(error); }

std::expected<NamedProgram, std::string> read_program(const std::filesystem::path& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return std::unexpected(fmt::format("{} cannot be read", path.string()));
  const auto program = parse(text);
  if (!program) return std::unexpected(fmt::format("{}: {}", path.string(), program.error()));
  return NamedProgram{path.string(), *program};
}

}  // namespace

void print(const Tally& tally, Form form) {
  for (std::size_t i = 0; i < op_count; ++i) {
    const auto op = static_cast<Op>(i);
    if (!has(form, op)) continue;
    std::string line;
    for (const auto& [call, count] : tally.calls) {
      if (call.first == op) line += fmt::format("  {} {}", errno_name(call.second), count);
    }
    fmt::print("{:<16}{}\n", command(op).name, line.empty() ? "  never called" : line);
  }
  fmt::print("programs that came to:\n");
  for (const auto& [name, count] : tally.reached) fmt::print("  {:<26} {}\n", name, count);
}

std::vector<std::string_view> never_reached(const Tally& tally, std::span<const std::string_view> depths,
                                            std::span<const std::string_view> impossible) {
  std::vector<std::string_view> missing;
  for (const std::string_view name : depths) {
    if (!tally.reached.contains(name) && std::ranges::find(impossible, name) == impossible.end())
      missing.push_back(name);
  }
  return missing;
}

std::expected<std::vector<NamedProgram>, std::string> read_programs(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  std::vector<NamedProgram> programs;
  for (const auto& file : files) {
    auto program = read_program(file);
    if (!program) return std::unexpected(program.error());
    programs.push_back(std::move(*program));
  }
  return programs;
}

void set_under_way(std::string text) { under_way() = std::move(text); }

void explain_crashes() {
#if defined(HW_DEATH_CALLBACK)
  __sanitizer_set_death_callback(print_under_way);
#else
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal_number, on_signal);
#endif
  for (const int signal_number : {SIGABRT, SIGALRM}) std::signal(signal_number, on_signal);
}

}  // namespace hawser::fuzz
