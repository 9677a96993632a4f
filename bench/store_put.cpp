// SPDX-License-Identifier: Apache-2.0
// margay-store-put --store sqlite://PATH|unix:PATH: puts the `key<TAB>value` lines of its standard
// input into a file, or into a Store that another process owns, as they are. For benchmarks and the
// lab, which prepare whole clusters; people use margayctl, which validates.
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop/asio_loop.h"
#include "datastore/remote/remote_store.h"
#include "datastore/sqlite/sqlite_store.h"

namespace margay {
namespace {

constexpr std::size_t kBatch = 1000;
constexpr std::string_view kSqlite = "sqlite://";

Result<std::unique_ptr<datastore::Store>> open_store(EventLoop& loop, std::string_view url) {
  if (url.starts_with("unix:")) {
    datastore::RemoteOptions remote;
    remote.address = std::string(url);
    return datastore::make_remote_store(loop, std::move(remote));
  }
  if (!url.starts_with(kSqlite))
    return make_error(Code::invalid,
                      "--store: sqlite://PATH or unix:PATH, not " + std::string(url));
  datastore::SqliteOptions options;
  options.path = std::string(url.substr(kSqlite.size()));
  options.owner = "margay-store-put";
  MARGAY_TRY(auto store, datastore::SqliteStore::open(loop, options));
  return std::unique_ptr<datastore::Store>(std::move(store));
}

// The next lines of the input; empty at its end.
Result<std::vector<datastore::Write>> read_batch(std::size_t& line_number) {
  std::vector<datastore::Write> batch;
  std::string line;
  while (batch.size() < kBatch && std::getline(std::cin, line)) {
    ++line_number;
    const auto tab = line.find('\t');
    if (tab == std::string::npos || tab == 0)
      return make_error(Code::invalid,
                        "line " + std::to_string(line_number) + ": not key<TAB>value");
    batch.push_back({datastore::Write::Kind::put, line.substr(0, tab), line.substr(tab + 1), {}});
  }
  return batch;
}

Result<std::size_t> put_all(AsioLoop& loop, datastore::Store& store) {
  std::size_t lines = 0;
  while (true) {
    MARGAY_TRY(auto batch, read_batch(lines));
    if (batch.empty()) return lines;
    Result<void> outcome;
    store.submit(std::move(batch), [&](datastore::Store::WriteResults results) {
      for (const auto& result : results)
        if (!result.ok() && outcome.ok()) outcome = result.error();
      loop.stop();
    });
    loop.run();
    loop.restart();
    if (!outcome.ok()) return outcome.error();
  }
}

int run(std::string_view url) {
  AsioLoop loop{"store-put"};
  auto store = open_store(loop, url);
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.error().message().c_str());
    return 1;
  }
  auto count = put_all(loop, *store.value());
  if (!count.ok()) {
    std::fprintf(stderr, "%s\n", count.error().message().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--store") {
    std::fprintf(stderr,
                 "usage: margay-store-put --store sqlite://PATH|unix:PATH < key<TAB>value lines\n");
    return 2;
  }
  return margay::run(argv[2]);
}
