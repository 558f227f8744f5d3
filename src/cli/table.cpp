#include "cli/table.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace hawser::cli {

std::string Table::text() const {
  const std::size_t columns = lines_.front().size();
  std::vector<std::size_t> widths(columns);
  for (const Line& line : lines_) {
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const Line& line : lines_) {
    for (std::size_t i = 0; i + 1 < columns; ++i) text += fmt::format("{:<{}}  ", line[i], widths[i]);
    text += line.back() + "\n";
  }
  return text;
}

}  // namespace hawser::cli
