// What all program fuzzers print, and how they read programs from files.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "diary.hpp"

namespace hawser::fuzz {

// Calls by command and errno, then how many programs came how far.
void print(const Tally& tally, Form form = Form::commands);
// Those of `depths` that no program came to, without those that cannot be reached here.
[[nodiscard]] std::vector<std::string_view> never_reached(const Tally& tally, std::span<const std::string_view> depths,
                                                          std::span<const std::string_view> impossible = {});

struct NamedProgram {
  std::string name;  // of its file
  Program program;
};
// Of files and folders, in order of their names. The error is a sentence for people.
[[nodiscard]] std::expected<std::vector<NamedProgram>, std::string> read_programs(
    const std::vector<std::string>& paths);

// From now on a crash prints what ran: the text that `set_under_way` was given last.
void explain_crashes();
void set_under_way(std::string text);

}  // namespace hawser::fuzz
