// Columns for people: as wide as their widest entry.
#pragma once

#include <string>
#include <vector>

namespace hawser::cli {

class Table {
 public:
  using Line = std::vector<std::string>;
  explicit Table(Line headings) { lines_.push_back(std::move(headings)); }
  void add(Line line) { lines_.push_back(std::move(line)); }  // as many entries as headings
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Line> lines_;
};

}  // namespace hawser::cli
