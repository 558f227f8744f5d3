#include "cli/installation.hpp"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

namespace hawser::cli {
namespace {

namespace fs = std::filesystem;

class InstallationTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hawser-installation-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  void make_file(const fs::path& relative) {
    fs::create_directories((root_ / relative).parent_path());
    std::ofstream(root_ / relative) << "x";
  }

  fs::path root_;
};

TEST_F(InstallationTest, BuildTree) {
  make_file("lib/librdmacm.so.1");
  make_file("lib/libibverbs.so.1");
  const auto found = find_installation(root_ / "bin/hawser");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->libraries, root_ / "lib");
  EXPECT_EQ(found->agent, root_ / "bin/hawserd");
}

TEST_F(InstallationTest, InstalledTreeIsPreferredToTheSystemsOwnLibraries) {
  // Under /usr the distribution's librdmacm lies in lib/, ours in lib/hawser.
  for (const char* place : {"lib", "lib/hawser"}) {
    make_file(fs::path(place) / "librdmacm.so.1");
    make_file(fs::path(place) / "libibverbs.so.1");
  }
  const auto found = find_installation(root_ / "bin/hawser");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->libraries, root_ / "lib/hawser");
}

TEST_F(InstallationTest, OneLibraryAloneIsNoInstallation) {
  make_file("lib/librdmacm.so.1");
  EXPECT_FALSE(find_installation(root_ / "bin/hawser").has_value());
}

TEST_F(InstallationTest, NothingThere) { EXPECT_FALSE(find_installation(root_ / "bin/hawser").has_value()); }

TEST(LibraryPath, ComesFirst) { EXPECT_EQ(library_path("/h/lib", "/a:/b"), "/h/lib:/a:/b"); }

TEST(LibraryPath, NoEmptyElement) { EXPECT_EQ(library_path("/h/lib", ""), "/h/lib"); }

}  // namespace
}  // namespace hawser::cli
