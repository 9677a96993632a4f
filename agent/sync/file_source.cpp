// SPDX-License-Identifier: Apache-2.0
// A file of resources as a Source: all of it at the start, the difference when it is read again.
#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "agent/sync/outbox.h"
#include "agent/sync/source.h"
#include "model/document.h"

namespace margay::sync {
namespace {

using Resources = std::map<std::string, std::string>;  // by key path

Result<Resources> read(const std::string& path) {
  const std::ifstream file(path);
  if (!file) return sys_error(errno, "read " + path);
  std::stringstream text;
  text << file.rdbuf();
  MARGAY_TRY(auto documents, model::parse_documents(text.str(), {path, "default"}));
  Resources out;
  for (auto& d : documents) {
    if (out.emplace(model::path(d.key), std::move(d.json)).second) continue;
    return make_error(Code::invalid,
                      d.where + ": " + model::describe(d.key) + " stands there twice");
  }
  return out;
}

class FileSource : public Source {
 public:
  FileSource(EventLoop& loop, std::string path, Callbacks callbacks, Resources resources)
      : loop_(loop), path_(std::move(path)), callbacks_(std::move(callbacks)) {
    status_.since = loop_.now();
    status_.connected = true;
    status_.endpoint = path_;
    status_.connects = status_.snapshots = 1;
    take(std::move(resources));
  }
  [[nodiscard]] const Status& status() const override { return status_; }
  [[nodiscard]] Result<void> configure(TyphaConfig) override { return {}; }
  [[nodiscard]] Result<void> reload() override {
    auto resources = read(path_);
    status_.warning = resources.ok() ? "" : resources.error().message();
    if (callbacks_.status) callbacks_.status(status_);
    if (!resources.ok()) return std::move(resources).error();
    take(std::move(resources).value());
    return {};
  }

 private:
  void take(Resources now) {
    const Revision revision(status_.revision.value() + 1);
    std::vector<Update> updates;
    const auto add = [&](const std::string& key, std::string value, bool deleted) {
      updates.push_back(
          {{key, std::move(value), deleted, revision}, have_.contains(key), loop_.now()});
    };
    for (const auto& [key, value] : have_) {
      if (!now.contains(key)) add(key, "", true);
    }
    for (const auto& [key, value] : now) {
      const auto old = have_.find(key);
      if (old == have_.end() || old->second != value) add(key, value, false);
    }
    have_ = std::move(now);
    outbox_.push(std::move(updates));
    outbox_.then([this, revision] {
      status_.in_sync = true;
      status_.revision = revision;
      if (callbacks_.in_sync) callbacks_.in_sync();
    });
  }

  EventLoop& loop_;
  std::string path_;
  Callbacks callbacks_;
  Status status_;
  Resources have_;
  Outbox outbox_{loop_,
                 [this](std::vector<Update>&& updates) {
                   status_.updates += updates.size();
                   callbacks_.updates(std::move(updates));
                 },
                 [] {}};
};

}  // namespace

Result<std::unique_ptr<Source>> make_file_source(EventLoop& loop, std::string path,
                                                 Callbacks callbacks) {
  MARGAY_TRY(auto resources, read(path));
  return std::unique_ptr<Source>(std::make_unique<FileSource>(
      loop, std::move(path), std::move(callbacks), std::move(resources)));
}

}  // namespace margay::sync
