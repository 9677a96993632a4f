// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over its corpus, and over cuts and flips of each file, without libFuzzer: the
// same promises as an ordinary test of every build.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
    ++files;
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    const std::size_t step = 1 + bytes.size() / 64;
    for (std::size_t i = 0; i < bytes.size(); i += step) {
      LLVMFuzzerTestOneInput(bytes.data(), i);
      const std::uint8_t kept = bytes[i];
      for (const int flip : {0x01, 0x20, 0x80}) {
        bytes[i] = static_cast<std::uint8_t>(kept ^ flip);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      }
      bytes[i] = kept;
    }
  }
  std::printf("%d files\n", files);
  return files > 0 ? 0 : 1;
}
