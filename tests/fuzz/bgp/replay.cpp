// SPDX-License-Identifier: Apache-2.0
// Runs the fuzz target over every file of a folder, and over small random changes to each (the same
// in every run).
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kChangesPerFile = 3000;

// The body of one message grows, shrinks or changes; its length field is kept right most of the
// time, so that the change gets past the framing.
std::vector<std::uint8_t> changed(std::vector<std::uint8_t> bytes, std::mt19937& random) {
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t n = 1 + pick(4); n > 0 && bytes.size() > 21; --n) {
    const auto at = static_cast<std::ptrdiff_t>(20 + pick(bytes.size() - 20));
    switch (pick(4)) {
      case 0:
        bytes.insert(bytes.begin() + at, static_cast<std::uint8_t>(pick(256)));
        break;
      case 1:
        bytes.erase(bytes.begin() + at);
        break;
      default:
        bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(pick(256));
        break;
    }
  }
  if (pick(8) != 0 && bytes.size() > 20) {
    bytes[17] = static_cast<std::uint8_t>((bytes.size() - 1) >> 8);
    bytes[18] = static_cast<std::uint8_t>(bytes.size() - 1);
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int files = 0;
  std::mt19937 random(1);
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    for (int i = 0; i < kChangesPerFile; ++i) {
      const auto other = changed(bytes, random);
      LLVMFuzzerTestOneInput(other.data(), other.size());
    }
    ++files;
  }
  std::printf("%d files\n", files);
  return files > 0 ? 0 : 1;
}
