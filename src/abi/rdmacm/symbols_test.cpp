// The library exports what the distribution's exports, name and version, and what is newer; nothing else.
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace {

std::set<std::string> listed() {
  std::ifstream file(HAWSER_DISTRIBUTION_SYMBOLS);
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') names.insert(line);
  }
  return names;
}

// Defined dynamic symbols as NAME@VERSION, without the version names themselves.
std::set<std::string> exported() {
  const std::string command = std::string("readelf -W --dyn-syms ") + HAWSER_LIBRDMACM;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::set<std::string> names;
  std::array<char, 4096> line{};
  while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::istringstream fields(line.data());
    std::string number, value, size, type, bind, visibility, section, name;
    fields >> number >> value >> size >> type >> bind >> visibility >> section >> name;
    const auto at = name.find("@@");
    if (section == "UND" || at == std::string::npos) continue;
    names.insert(name.erase(at, 1));
  }
  return names;
}

TEST(RdmacmSymbols, AreTheDistributionsAndTheNewerOnes) {  // [spec 6.4.1]
  std::set<std::string> expected = listed();
  EXPECT_EQ(expected.size(), 68U);
  for (const char* newer : {"rdma_query_addrinfo", "rdma_resolve_addrinfo", "rdma_write_cm_event"}) {
    expected.insert(std::string(newer) + "@RDMACM_1.4");
  }
  EXPECT_EQ(exported(), expected);
}

TEST(RdmacmSymbols, TheSonameIsWhatProgramsAskFor) {
  const std::string command =
      std::string("readelf -d ") + HAWSER_LIBRDMACM + " | grep -c 'SONAME.*\\[librdmacm.so.1\\]'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::array<char, 16> count{};
  ASSERT_NE(std::fgets(count.data(), count.size(), pipe.get()), nullptr);
  EXPECT_EQ(std::stoi(count.data()), 1);
}

}  // namespace
