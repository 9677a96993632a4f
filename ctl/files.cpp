// SPDX-License-Identifier: Apache-2.0
#include "ctl/files.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "model/document.h"

namespace margay::ctl {
namespace {

namespace fs = std::filesystem;

Result<std::string> read_all(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream file(path, std::ios::binary);
  if (!file) return sys_error(errno, "open " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool is_resource_file(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml" || path.extension() == ".json";
}

template <typename Iterator>
std::vector<std::string> files_below(const fs::path& dir) {
  std::vector<std::string> out;
  std::error_code ec;
  for (const auto& entry : Iterator(dir, ec)) {
    if (entry.is_regular_file(ec) && is_resource_file(entry.path()))
      out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> expand(const std::string& path, bool recursive) {
  std::error_code ec;
  if (path == "-" || !fs::is_directory(path, ec)) return {path};
  return recursive ? files_below<fs::recursive_directory_iterator>(path)
                   : files_below<fs::directory_iterator>(path);
}

}  // namespace

Result<std::vector<FileResource>> read_resources(const Invocation& call) {
  const auto flag = call.flags.find("filename");
  if (flag == call.flags.end())
    return make_error(Code::invalid, call.command + ": -f FILE is missing");
  std::vector<FileResource> out;
  std::string named;
  for (const std::string& path : flag->second) {
    named += (named.empty() ? "" : ", ") + path;
    for (const std::string& file : expand(path, call.has("recursive"))) {
      MARGAY_TRY(const std::string text, read_all(file));
      MARGAY_TRY(auto documents,
                 model::parse_documents(text, {file, call.value("namespace", "default")}));
      for (auto& document : documents) {
        FileResource r{std::move(document.key), Json::parse(document.json, nullptr, false)};
        if (!document.resource_version.empty()) {
          r.object["metadata"]["resourceVersion"] = std::move(document.resource_version);
        }
        out.push_back(std::move(r));
      }
    }
  }
  if (out.empty() && !call.has("skip-empty")) {
    return make_error(Code::invalid, "no resources specified in file " + named);
  }
  return out;
}

}  // namespace margay::ctl
