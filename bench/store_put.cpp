// SPDX-License-Identifier: Apache-2.0
// margay-store-put --store sqlite://PATH|unix:PATH|HOST:PORT [TLS files] [--each-line]
// Puts the `key<TAB>value` lines of its standard input into a file, or into a Store that another
// process owns, as they are. With --each-line a line is one request of its own (any number of
// pairs, an empty value deletes), answered by `issued NANOSECONDS` (CLOCK_MONOTONIC, before the
// request was made) and, once durable, `done`. For benchmarks and the lab, which prepare whole
// clusters; people use margayctl, which validates.
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

struct Options {
  std::string store;
  transport::TlsFiles tls;
  bool each_line = false;
};

Result<std::unique_ptr<datastore::Store>> open_store(EventLoop& loop, const Options& o) {
  if (!o.store.starts_with(kSqlite)) {
    datastore::RemoteOptions remote;
    remote.address = o.store;
    remote.tls = o.tls;
    return datastore::make_remote_store(loop, std::move(remote));
  }
  datastore::SqliteOptions options;
  options.path = o.store.substr(kSqlite.size());
  options.owner = "margay-store-put";
  MARGAY_TRY(auto store, datastore::SqliteStore::open(loop, options));
  return std::unique_ptr<datastore::Store>(std::move(store));
}

// Appends the pairs of one line; false when it is no line of pairs.
bool read_pairs(const std::string& line, std::vector<datastore::Write>& out) {
  using Kind = datastore::Write::Kind;
  for (std::size_t at = 0; at <= line.size();) {
    const auto tab = line.find('\t', at);
    if (tab == std::string::npos || tab == at) return false;
    const auto end = std::min(line.find('\t', tab + 1), line.size());
    std::string value = line.substr(tab + 1, end - tab - 1);
    const Kind kind = value.empty() ? Kind::remove : Kind::put;
    out.push_back({kind, line.substr(at, tab - at), std::move(value), {}});
    at = end + 1;
  }
  return true;
}

// The next lines of the input; empty at its end.
Result<std::vector<datastore::Write>> read_batch(std::size_t lines, std::size_t& line_number) {
  std::vector<datastore::Write> batch;
  std::string line;
  for (std::size_t i = 0; i < lines && std::getline(std::cin, line); ++i) {
    ++line_number;
    if (!read_pairs(line, batch))
      return make_error(Code::invalid,
                        "line " + std::to_string(line_number) + ": not key<TAB>value");
  }
  return batch;
}

Result<std::size_t> put_all(AsioLoop& loop, datastore::Store& store, bool each_line) {
  std::size_t lines = 0;
  while (true) {
    MARGAY_TRY(auto batch, read_batch(each_line ? 1 : kBatch, lines));
    if (batch.empty()) return lines;
    Result<void> outcome;
    const auto issued = loop.now().time_since_epoch();
    store.submit(std::move(batch), [&](datastore::Store::WriteResults results) {
      for (const auto& result : results)
        if (!result.ok() && outcome.ok()) outcome = result.error();
      loop.stop();
    });
    if (each_line) {
      std::printf("issued %lld\n",
                  static_cast<long long>(std::chrono::nanoseconds(issued).count()));
      std::fflush(stdout);
    }
    loop.run();
    loop.restart();
    if (!outcome.ok()) return outcome.error();
    if (each_line) {
      std::puts("done");
      std::fflush(stdout);
    }
  }
}

int run(const Options& options) {
  AsioLoop loop{"store-put"};
  auto store = open_store(loop, options);
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.error().message().c_str());
    return 1;
  }
  auto count = put_all(loop, *store.value(), options.each_line);
  if (!count.ok()) {
    std::fprintf(stderr, "%s\n", count.error().message().c_str());
    return 1;
  }
  return 0;
}

std::string* text_option(Options& o, std::string_view name) {
  if (name == "--store") return &o.store;
  if (name == "--ca-file") return &o.tls.ca_file;
  if (name == "--cert-file") return &o.tls.cert_file;
  if (name == "--key-file") return &o.tls.key_file;
  if (name == "--server-cn") return &o.tls.peer_cn;
  return nullptr;
}

bool parse(int argc, char** argv, Options& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--each-line") {
      out.each_line = true;
    } else if (std::string* text = text_option(out, name); text != nullptr && ++i < argc) {
      *text = argv[i];
    } else {
      return false;
    }
  }
  return !out.store.empty();
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  margay::Options options;
  if (!margay::parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: margay-store-put --store sqlite://PATH|unix:PATH|HOST:PORT\n"
                 "         [--ca-file F --cert-file F --key-file F --server-cn CN] [--each-line]\n"
                 "         < lines of key<TAB>value\n");
    return 2;
  }
  return margay::run(options);
}
