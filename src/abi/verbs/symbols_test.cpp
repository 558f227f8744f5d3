// The symbols of our libibverbs.so.1 and their versions, against the list taken from the distribution's library.
#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace {

std::set<std::string> listed(const char* path) {
  std::set<std::string> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') out.insert(line);
  }
  return out;
}

class Library {
 public:
  explicit Library(const char* path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    const auto* header = at<Elf64_Ehdr>(0);
    for (unsigned i = 0; i < header->e_shnum; ++i) {
      const auto* section = at<Elf64_Shdr>(header->e_shoff + i * sizeof(Elf64_Shdr));
      sections_[section->sh_type] = section;
      if (section->sh_type == SHT_DYNSYM)
        strings_ = at<Elf64_Shdr>(header->e_shoff + section->sh_link * sizeof(Elf64_Shdr));
    }
  }

  // name@@version of every default symbol that the library defines, without the version nodes themselves.
  [[nodiscard]] std::set<std::string> symbols() const {
    std::map<unsigned, std::string> versions;
    for (std::size_t offset = sections_.at(SHT_GNU_verdef)->sh_offset;;) {
      const auto* definition = at<Elf64_Verdef>(offset);
      versions[definition->vd_ndx] = text(at<Elf64_Verdaux>(offset + definition->vd_aux)->vda_name);
      if (definition->vd_next == 0) break;
      offset += definition->vd_next;
    }
    std::set<std::string> out;
    const Elf64_Shdr* table = sections_.at(SHT_DYNSYM);
    for (std::size_t i = 0; i < table->sh_size / sizeof(Elf64_Sym); ++i) {
      const auto* symbol = at<Elf64_Sym>(table->sh_offset + i * sizeof(Elf64_Sym));
      if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS) continue;
      const unsigned version = *at<Elf64_Half>(sections_.at(SHT_GNU_versym)->sh_offset + i * sizeof(Elf64_Half));
      out.insert(text(symbol->st_name) + ((version & 0x8000) != 0 ? "@" : "@@") + versions[version & 0x7FFF]);
    }
    return out;
  }

 private:
  template <class T>
  const T* at(std::size_t offset) const {
    return reinterpret_cast<const T*>(bytes_.data() + offset);
  }
  [[nodiscard]] std::string text(std::size_t offset) const { return bytes_.data() + strings_->sh_offset + offset; }

  std::vector<char> bytes_;
  std::map<unsigned, const Elf64_Shdr*> sections_;
  const Elf64_Shdr* strings_ = nullptr;
};

TEST(Symbols, AreThoseOfTheDistributionAndTheNewerOnes) {
  std::set<std::string> expected = listed(HAWSER_DISTRIBUTION_SYMBOLS);
  ASSERT_EQ(expected.size(), 146U);
  expected.insert({"ibv_alloc_dmah@@IBVERBS_1.15", "ibv_dealloc_dmah@@IBVERBS_1.15", "ibv_reg_mr_ex@@IBVERBS_1.15",
                   "ibv_dm_export_dmabuf_fd@@IBVERBS_1.16", "ibv_query_port_speed@@IBVERBS_1.16",
                   "ibv_alloc_buf@@IBVERBS_1.17", "ibv_free_buf@@IBVERBS_1.17", "ibv_reg_buf_mr@@IBVERBS_1.17"});
  EXPECT_EQ(Library(HAWSER_LIBIBVERBS).symbols(), expected);
}

}  // namespace
